//! `kubectl exec`.

use super::{
    Call, Halt,
    flags::{Args, Flag, switch, value},
    pods,
};

pub(super) const FLAGS: &[Flag] = &[switch("stdin").or('i'), switch("tty").or('t'), value("container").or('c'), switch("quiet").or('q')];

/// Runs a command in a container. A terminal is never made: a runbook has none.
pub(super) async fn run(call: &mut Call, args: Args) -> Result<(), Halt> {
    let [pod] = args.words.as_slice() else {
        return Err(Halt::error("exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] instead"));
    };
    let command = args.command.as_deref().filter(|command| !command.is_empty());
    let command = command.ok_or_else(|| Halt::error("you must specify at least one command for the container"))?;
    let pod = pods::pod(call, args.namespace(), pod).await?;
    let container = pods::container(call, &pod, args.one("container"), args.namespace()).await?;
    let stdin = if args.is("stdin", false)? { call.all_input().await? } else { Vec::new() };
    let words: Vec<_> = command.iter().map(String::as_str).collect();
    let output = call.target.exec(&container, &words, &stdin).await?;
    call.out(output.stdout).await?;
    call.say(super::Said::Err(output.stderr)).await?;
    ended(output.code)
}

/// The command's exit code as the call's own.
pub(super) fn ended(code: i32) -> Result<(), Halt> {
    match u8::try_from(code) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Halt::Command(code)),
        Err(_) => Err(Halt::Command(u8::MAX)),
    }
}
