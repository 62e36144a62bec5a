use super::*;
use rstest::rstest;

fn followed(script: &str, files: &[(&str, &str)], image_sets: bool) -> (Vec<Command>, Vec<String>) {
    let environment = BTreeMap::from([("PASSWORD".to_owned(), "p w".to_owned()), ("CLUSTER".to_owned(), unknown("CLUSTER"))]);
    let open = |path: &str| {
        let (_, content) = files.iter().find(|(name, _)| *name == path)?;
        Some(((*content).to_owned(), Place::of_file("file")))
    };
    let mut shell = Shell::new(&open, image_sets);
    let words = ["sh", "-c", script, "name", "redis-server", "/a b"].map(|text| Field { text: text.to_owned(), place: None });
    shell.start(words.to_vec(), &environment, &Place::of_file("manifest"));
    let commands = shell.commands.into_iter().map(|(command, _)| command).collect();
    (commands, shell.hidden.into_iter().map(|(what, place)| format!("{what} at {}", place.line)).collect())
}

/// Every command as a person would write it, with `?` before one that may not be come to.
fn told(script: &str) -> Vec<String> {
    let (commands, hidden) = followed(script, &[("/env", "FROM=file\n"), ("/redis.conf", "port 1\n")], false);
    let command = |command: &Command| {
        let mark = if command.certain { "" } else { "? " };
        format!("{mark}{}", command.words.iter().map(|word| shown(word)).collect::<Vec<_>>().join("|"))
    };
    commands.iter().map(command).chain(hidden.iter().map(|hidden| format!("hidden: {hidden}"))).collect()
}

#[rstest]
#[case::continued("set -e\nexec redis-server \\\n  --port 6380 --requirepass \"$PASSWORD\" # why\n", &["redis-server|--port|6380|--requirepass|p w"])]
#[case::without_quotes("redis-server --requirepass $PASSWORD", &["redis-server|--requirepass|p|w"])]
#[case::unset_is_empty("redis-server --dir /data/${SUB:-x} $NOTHING \"$NOTHING\"", &["redis-server|--dir|/data/x|"])]
#[case::single_quotes("redis-server '$PASSWORD' \\$X \"\\$Y\"", &["redis-server|$PASSWORD|$X|$Y"])]
#[case::what_the_cluster_knows("redis-server --port \"$CLUSTER\"", &["redis-server|--port|$CLUSTER"])]
#[case::arguments("exec \"$@\"", &["redis-server|/a b"])]
#[case::arguments_one_by_one("program=$1\nshift\nexec \"$program\" - \"$@\"", &["redis-server|-|/a b"])]
#[case::arguments_set_anew("set -- redis-server \"$2\"\nset -- \"$@\" --port 1\nexec \"$@\"", &["redis-server|/a b|--port|1"])]
#[case::arrays("A=(\"--port\" 1)\nA+=(\"--requirepass\" \"${PASSWORD}\")\nexec redis-server \"${A[@]}\"", &["redis-server|--port|1|--requirepass|p w"])]
#[case::text_that_grows("A='--port 1'\nA=\"$A --save 60\"\nredis-server $A", &["redis-server|--port|1|--save|60"])]
#[case::a_branch_that_is_known("if [ -n \"$PASSWORD\" ]; then redis-server a; else redis-server b; fi", &["redis-server|a"])]
#[case::the_other_branch("if [ -z \"${PASSWORD}\" ]; then redis-server a; elif test \"$1\" = redis-server; then redis-server b; fi", &["redis-server|b"])]
#[case::a_branch_that_nobody_knows("if [ \"$(hostname)\" = redis-0 ]; then exec redis-server a; else exec redis-server b; fi", &["? redis-server|a", "? redis-server|b"])]
#[case::a_guard_leaves_no_doubt("[ -n \"$CLUSTER\" ] || exit 1\nredis-server a", &["redis-server|a"])]
#[case::what_is_after_another_program("if grep -q x /y; then exec redis-server a; fi\nexec redis-server b", &["grep|-q|x|/y", "? redis-server|a", "? redis-server|b"])]
#[case::a_variable_of_two_ways("P=1\nif [ -n \"$CLUSTER\" ]; then P=2; fi\nredis-server $P", &["redis-server|$P"])]
#[case::a_variable_of_two_equal_ways("if [ -n \"$CLUSTER\" ]; then P=2; else P=2; fi\nredis-server $P", &["redis-server|2"])]
#[case::cases("case \"$1\" in\n  -*|*.conf) redis-server x ;;\n  redis-*) redis-server \"$2\" ;;\n  *) sleep 1 ;;\nesac", &["redis-server|/a b"])]
#[case::cases_of_something_unknown("case $CLUSTER in yes) redis-server a;; *) redis-server b;; esac", &["? redis-server|a", "? redis-server|b"])]
#[case::functions("start() { local port=$1; exec redis-server --port \"$port\"; }\nstart 7\nredis-server never", &["redis-server|--port|7"])]
#[case::functions_return("f() { if [ -n \"$1\" ]; then return 0; fi; redis-server never; }\nf x\nredis-server a", &["redis-server|a"])]
#[case::functions_return_perhaps("f() { if [ -n \"$CLUSTER\" ]; then return 0; fi; P=1; }\nf\nredis-server $P", &["redis-server|$P"])]
#[case::a_loop_that_waits("until redis-cli -h x ping; do sleep 1; done\nexec redis-server a", &["redis-cli|-h|x|ping", "? redis-cli|-h|x|ping", "? sleep|1", "redis-server|a"])]
#[case::a_loop_over_words("for p in 1 2; do A=\"$A --port $p\"; done\nredis-server $A", &["redis-server|--port|1|--port|2"])]
#[case::a_loop_over_arguments("while [ $# -gt 0 ]; do A=\"$A-$1\"; shift; done\nredis-server \"$A\"", &["redis-server|-redis-server-/a b"])]
#[case::a_loop_of_unknown_length("i=0\nwhile [ -n \"$CLUSTER\" ]; do i=1$i; done\nredis-server $i", &["redis-server|$i"])]
#[case::a_loop_without_an_end("while true; do redis-server a; sleep 1; done\nredis-server b", &["redis-server|a", "sleep|1", "? redis-server|b"])]
#[case::a_file_of_the_set("P=$(cat /redis.conf)\nredis-server \"$P\" \"$(cat /none)\"", &["redis-server|port 1|$(cat /none)"])]
#[case::what_only_passes_a_text_on("E=$(echo \"$PASSWORD\" | sed -e 's/ /_/g')\nredis-server \"$E\"", &["redis-server|p_w"])]
#[case::what_a_program_prints("M=$(redis-cli info)\nM=x$M\nredis-server \"$M\"", &["redis-server|x$(redis-cli info)"])]
#[case::parts_of_a_value("f=/etc/a.conf\nredis-server ${f##*/} ${f%.conf} ${f%/*} ${1#redis-} ${f:+b} ${NO:+c}", &["redis-server|a.conf|/etc/a|/etc|server|b"])]
#[case::another_file_goes_on(". /env\nredis-server $FROM", &["redis-server|file"])]
#[case::a_file_of_the_image(". /none\nredis-server $FROM", &["redis-server|$FROM", "hidden: /none at 1"])]
#[case::wrappers("exec nice -n 5 setpriv --reuid redis --clear-groups env A=b timeout -k 5 9 /usr/bin/redis-server a", &["/usr/bin/redis-server|a"])]
#[case::the_entrypoint("exec docker-entrypoint.sh --port 1", &["redis-server|--port|1"])]
#[case::another_user("exec su redis -c 'redis-server a'", &["redis-server|a"])]
#[case::scripts_within_scripts("export Q=1\nR=2\nexec sh -c 'exec redis-server \"q$Q\" \"r$R\" \"$1\"' name one", &["redis-server|q1|r|one"])]
#[case::evaluated("C='redis-server --port'\neval \"$C 1\"", &["redis-server|--port|1"])]
#[case::a_program_that_nobody_knows("exec \"$CLUSTER\" x", &["$CLUSTER|x"])]
#[case::in_the_background("redis-server a &\nwait", &["redis-server|a"])]
#[case::bash_tests("if [[ \"$1\" == redis-* && -n $PASSWORD ]]; then redis-server a; fi", &["redis-server|a"])]
#[case::negated("if ! [ -n \"$1\" ]; then redis-server a; else redis-server b; fi", &["redis-server|b"])]
#[case::carriage_returns("if [ -n \"$1\" ]; then\r\n  redis-server a\r\nfi\r\n", &["redis-server|a"])]
#[case::a_comment_in_a_substitution("x=$(echo a # it's\n)\nredis-server $x", &["redis-server|a"])]
#[case::a_bracket_in_a_comment("x=$(echo a # :)\n)\nredis-server $x", &["redis-server|a"])]
#[case::no_comment_in_a_substitution("x=$(echo a#b 'it # is')\nredis-server \"$x\" ${1#redis-}", &["redis-server|a#b it # is|server"])]
#[case::quotes_in_a_substitution_in_quotes("redis-server \"a $(echo \"b  )\" ')') c\"", &["redis-server|a b  ) ) c"])]
#[case::a_case_in_a_substitution("x=$(case $1 in a) echo b;; esac)\nredis-server \"$x\"", &["redis-server|$(case $1 in a) echo b;; esac)"])]
#[case::a_document_in_a_substitution("x=$(cat <<E\n) it's \"\nE\n)\nredis-server a", &["redis-server|a"])]
#[case::substitutions_in_substitutions("x=$(echo $(echo a # it's (\n) `echo b`)\nredis-server $x", &["redis-server|a|b"])]
#[case::a_subshell_in_a_substitution("x=$((echo a) | cat)\nredis-server \"$x\" b", &["redis-server|$((echo a) | cat)|b"])]
#[case::arithmetic("x=$((1 + (16#ff) * $(echo ')' | wc -l)))\nredis-server a", &["redis-server|a"])]
#[case::a_test_over_lines_and_a_pattern("x=$([[ $1 &&\n $2 =~ ^(a|b)$ ]] && echo a)\nredis-server a", &["redis-server|a"])]
#[case::back_quotes("redis-server `echo '\\d' \\$1 \\\\$1` \"`echo \\\"a  b\\\"`\"", &["redis-server|\\d|redis-server|$1|a  b"])]
#[case::back_quotes_in_back_quotes("redis-server `echo \\`echo a\\` b`", &["redis-server|a|b"])]
#[case::text_to_translate("redis-server $\"a $1\"", &["redis-server|a redis-server"])]
#[case::an_apostrophe_in_a_quoted_value("redis-server \"${NO:-it's}\" '\"'", &["redis-server|it's|\""])]
#[case::a_part_of_an_array("A=(a b)\nA[1]=c\nA[2]=\"d e\"\nA[0]+=x\nredis-server \"${A[@]}\"", &["redis-server|ax|c|d e"])]
#[case::a_part_before_a_command("A=(a b)\nA[1]=x redis-server \"${A[1]}\"", &["redis-server|b"])]
#[case::a_part_that_nobody_knows("A=(a b)\nA[$CLUSTER]=c\nredis-server \"${A[@]}\"", &["redis-server|$A"])]
#[case::a_part_of_a_text("A=a\nA[1]=b\nredis-server $A ${A[1]}", &["redis-server|a|b"])]
#[case::not_a_script("redis-server a\nfi\nredis-server b", &["hidden: a script that is not understood at 2"])]
fn scripts_are_followed(#[case] script: &str, #[case] expected: &[&str]) {
    assert_eq!(told(script), expected);
}

#[rstest]
#[case::single("redis-server a\necho 'b\nc", 2)]
#[case::double("redis-server a\necho \"b $1\nc", 2)]
#[case::back("redis-server a\necho `b\nc", 2)]
#[case::escaped("redis-server a\necho $'b\\'\nc", 2)]
#[case::value("redis-server a\necho ${1:-b\nc", 2)]
#[case::index("redis-server a\necho ${A[1}\nc", 2)]
#[case::array("redis-server a\nA=(b\nc", 2)]
#[case::test_in_brackets("redis-server a\n[[ b\n", 3)]
#[case::arithmetic("redis-server a\necho $((1 + 2)\nc", 3)]
#[case::substitution("redis-server a\necho $(b\nc", 3)]
#[case::what_is_in_a_substitution("redis-server a\necho $(b\n'c)\nd", 3)]
#[case::a_comment_takes_the_bracket("x=$(echo a # it's)\nredis-server $x", 2)]
#[case::a_document_takes_the_bracket("x=$(cat <<E)\nredis-server\nE\n", 1)]
#[case::a_document_without_an_end("x=$(cat <<E\na)\nredis-server\n", 4)]
#[case::no_commands_in_a_substitution("redis-server a\nx=$(fi)\nb", 2)]
#[case::within_a_document("redis-server a\ncat <<E\nb\n$(c\nE\n", 5)]
#[case::in_a_subshell("redis-server a\n(b 'c)\n", 2)]
#[case::in_a_condition("if [ \"$1 ]; then redis-server a; fi", 1)]
fn what_is_not_closed_is_said(#[case] script: &str, #[case] line: u64) {
    assert_eq!(told(script), [format!("hidden: a script that is not understood at {line}")]);
}

#[test]
fn an_image_may_set_what_the_manifests_do_not_name() {
    let words = |image_sets: bool| {
        followed("redis-server ${PORT:-6379}", &[], image_sets).0[0].words.iter().map(|word| shown(word)).collect::<Vec<_>>()
    };
    assert_eq!(words(true), ["redis-server", "${PORT:-6379}"]);
    assert_eq!(words(false), ["redis-server", "6379"]);
}

#[test]
fn here_documents_and_redirections_belong_to_their_command() {
    let script = "cat > /etc/a.conf <<EOF\nport 1\nrequirepass $PASSWORD\nEOF\ncat <<'END' >> /b 2>/dev/null\n$PASSWORD\nEND\n{ echo a; echo b; } > /c\necho done\n";
    let (found, _) = followed(script, &[], false);
    assert_eq!(found[0].output, Some(("/etc/a.conf".to_owned(), false)));
    assert_eq!(found[0].document, Some(("port 1\nrequirepass p w\n".to_owned(), 1)));
    assert_eq!(found[1].output, Some(("/b".to_owned(), true)));
    assert_eq!(found[1].document, Some(("$PASSWORD\n".to_owned(), 5)));
    assert_eq!((&found[2].output, &found[3].output), (&Some(("/c".to_owned(), false)), &Some(("/c".to_owned(), true))));
    assert_eq!((found[4].words.join(" ").as_str(), found[4].line), ("echo done", 9));
}

#[test]
fn words_keep_their_places() {
    let place = |line| Some(Place { line, ..Place::of_file("manifest") });
    let words = [("sh", 1), ("-c", 2), ("exec \"$@\" --last", 3), ("sh", 4), ("redis-server", 5), ("--port", 6)];
    let mut shell = Shell::new(&|_| None, false);
    shell.start(
        words.map(|(text, line)| Field { text: text.to_owned(), place: place(line) }).to_vec(),
        &BTreeMap::new(),
        &Place::of_file("manifest"),
    );
    assert_eq!(shell.commands[0].0.places, [place(5), place(6), None]);
    assert_eq!(shell.commands[0].1.line + shell.commands[0].0.line, 3);
}

#[test]
fn no_script_makes_it_stumble() {
    let deep = "if [ x ]; then ".repeat(400);
    let wide = "while [ \"$CLUSTER\" ]; do ".repeat(20) + "redis-server\n" + &"done;".repeat(20);
    let quoted = "$(echo ".repeat(300);
    let braces = "${a:-".repeat(300);
    let closed = "$(echo ".repeat(300) + &")".repeat(300);
    let all = "$(if x; then (a \"${a:-$((1 + ".repeat(100);
    let arithmetic = "$((".repeat(300) + &")".repeat(600);
    let documents = "$(cat <<E\n".repeat(60) + &"E\n)\n".repeat(60);
    let back = "`echo \\".repeat(300);
    let circle = "f() { f; f; }; f";
    for script in [
        "",
        "'",
        "\"$(",
        "<<",
        "a=(",
        "${",
        "$",
        "\\",
        "`",
        ">",
        "((((",
        "$(((",
        "<<EOF\n",
        "é'ü\"ß`",
        "a=(b;c)",
        "x <<-\n",
        "${a[@]}",
        "a[1]=x",
        "<<E <<E\nE",
        "case x in",
        "case x in a) b",
        "for",
        "for x in; do",
        "while",
        "f()",
        "f() {",
        "function",
        "[[",
        "{",
        "}",
        ")",
        ";;",
        "&",
        "||",
        "| x",
        "! !",
        "exec",
        "eval",
        ".",
        "shift 99",
        "set --",
        "${#}",
        "${!x}",
        "${x/a/b}",
        "$'\\",
        "(( i++ ))",
        "x <(a) >(b)",
        "<(",
        "cd",
        "unset",
        &deep,
        &wide,
        &quoted,
        &braces,
        &closed,
        &all,
        &arithmetic,
        &documents,
        &back,
        circle,
    ] {
        let _ = followed(script, &[], false);
    }
}
