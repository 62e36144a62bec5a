//! YAML as Kubernetes reads it, with the place of each field.

use super::*;
use serde_json::json;

fn read_all(text: &str) -> Result<Read, YamlError> {
    read(text, &Arc::new(PathBuf::from("a.yaml")))
}

fn one(text: &str) -> Document {
    read_all(text).unwrap().0.remove(0)
}

fn at(document: &Document, pointer: &str) -> String {
    document.places[pointer].to_string()
}

#[test]
fn each_key_and_each_entry_has_its_place() {
    let document = one("spec:\n  containers:\n    - name: redis\n      args: [a,\n        b]\n");
    assert_eq!(at(&document, "/spec/containers"), "a.yaml:2:3");
    assert_eq!(at(&document, "/spec/containers/0"), "a.yaml:3:7");
    assert_eq!(at(&document, "/spec/containers/0/args"), "a.yaml:4:7");
    assert_eq!(at(&document, "/spec/containers/0/args/1"), "a.yaml:5:9");
}

#[test]
fn a_block_scalar_is_placed_on_its_key_and_in_a_list_on_its_header() {
    let document = one("image: >-\n  redis\nargs:\n  - |  # why\n\n    echo |\n    redis\n  - x\n");
    assert_eq!(at(&document, "/image"), "a.yaml:1:1");
    assert_eq!(at(&document, "/args/0"), "a.yaml:4:5");
    assert_eq!(at(&document, "/args/1"), "a.yaml:8:5");
    assert_eq!(document.json["args"][0], json!("\necho |\nredis\n"));
}

#[test]
fn a_document_begins_where_its_content_begins_and_empty_ones_are_left_out() {
    let (documents, _) = read_all("---\n# only a comment\n---\na: 1\n---\nnull\n--- {b: 2}\n...\n").unwrap();
    let seen: Vec<_> = documents.iter().map(|document| (document.place.to_string(), document.json.clone())).collect();
    assert_eq!(seen, [("a.yaml:4:1".to_owned(), json!({"a": 1})), ("a.yaml:7:5".to_owned(), json!({"b": 2}))]);
}

#[test]
fn an_alias_keeps_the_place_of_what_it_stands_for() {
    let document = one("a: &x\n  b: 1\nc: *x\n");
    assert_eq!(document.json, json!({"a": {"b": 1}, "c": {"b": 1}}));
    assert_eq!(at(&document, "/c"), "a.yaml:3:1");
    assert_eq!(at(&document, "/c/b"), "a.yaml:2:3");
}

#[test]
fn a_merge_key_overwrites_what_stands_before_it_as_in_kubectl() {
    let document = one("a: &A {p: 1, q: 2}\nm1: {q: 5, <<: *A}\nm2: {<<: *A, q: 5}\nm3: {<<: [{p: 7}, *A]}\n");
    assert_eq!(document.json["m1"], json!({"q": 2, "p": 1}));
    assert_eq!(document.json["m2"], json!({"p": 1, "q": 5}));
    assert_eq!(document.json["m3"], json!({"p": 7, "q": 2}));
}

#[test]
fn a_key_given_twice_is_an_error_at_the_second() {
    let error = read_all("a:\n  b: 1\n  c: 2\n  b: 3\n").unwrap_err();
    assert_eq!((error.place.to_string().as_str(), error.words.as_str()), ("a.yaml:4:3", "key \"b\" is already set in this map on line 2"));
}

#[test]
fn old_booleans_are_booleans_and_remarked_upon_unless_quoted() {
    let (documents, remarks) = read_all("a: yes\nb: \"yes\"\nc: !!str yes\non: true\n").unwrap();
    assert_eq!(documents[0].json, json!({"a": true, "b": "yes", "c": "yes", "true": true}));
    let places: Vec<_> = remarks.iter().map(|(place, _)| place.to_string()).collect();
    assert_eq!(places, ["a.yaml:1:4", "a.yaml:4:1"]);
}

#[test]
fn tags_decide_before_the_text_does() {
    let document = one("a: !!int \"12\"\nb: !!str 12\nc: !foo 12\nd: !!bool \"yes\"\ne: !!binary aGVsbG8=\n");
    assert_eq!(document.json, json!({"a": 12, "b": "12", "c": "12", "d": true, "e": "hello"}));
}

#[test]
fn json_with_tabs_is_read_with_places() {
    let document = one("{\n\t\"a\": {\n\t\t\"b\": [1, \"x\\/y\"]\n\t}\n}\n");
    assert_eq!(document.json, json!({"a": {"b": [1, "x/y"]}}));
    assert_eq!(at(&document, "/a/b"), "a.yaml:3:3");
}

#[test]
fn a_template_is_told_from_a_mistake() {
    let error = read_all("metadata:\n  name: {{ .Release.Name }}\n").unwrap_err();
    assert_eq!(error.place.line, 2);
    assert!(error.words.contains("helm template"), "{}", error.words);
}

#[test]
fn an_alias_bomb_ends_with_a_message() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    }
    assert!(read_all(&bomb).unwrap_err().words.contains("aliases followed"));
}

#[test]
fn long_text_repeated_by_aliases_ends_with_a_message() {
    let text = format!("a: &a \"{}\"\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 500].join(", "));
    assert!(read_all(&text).unwrap_err().words.contains("MiB of text"));
}

#[test]
fn a_chain_of_aliases_is_no_deeper_than_the_limit() {
    let mut chain = String::from("a0: &a0 [x]\n");
    for level in 1..5000 {
        chain.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(read_all(&chain).unwrap_err().words.contains("128 levels"));
}

#[test]
fn a_value_that_holds_itself_is_refused() {
    assert!(read_all("a: &a [*a]\n").is_err());
    assert!(read_all("a: &a {b: *a}\n").is_err());
}

#[test]
fn deep_nesting_is_refused_before_the_stack_ends() {
    assert!(read_all(&"[".repeat(100_000)).is_err());
    assert!(read_all(&"- ".repeat(100_000)).is_err());
    assert!(read_all(&"{a: ".repeat(100_000)).is_err());
}
