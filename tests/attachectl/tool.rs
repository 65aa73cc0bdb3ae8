//! Runs the tool.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What one run printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code.
    pub(crate) code: i32,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

/// Runs `attachectl` with arguments and a standard input, in a plain environment.
pub(crate) fn run(arguments: &[&str], input: &str) -> Run {
    run_in(Path::new("."), arguments, input)
}

/// The same in this directory.
pub(crate) fn run_in(directory: &Path, arguments: &[&str], input: &str) -> Run {
    run_with(directory, &[], arguments, input)
}

/// The same with these variables.
pub(crate) fn run_with(directory: &Path, variables: &[(&str, &str)], arguments: &[&str], input: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_attachectl"))
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Run { code: status.code().unwrap(), stdout: text(stdout), stderr: text(stderr) }
}

/// What a command is for stands in the list of commands, and how it ends in its own help.
#[test]
fn each_command_says_in_its_help_what_its_exit_codes_mean() {
    for command in ["check", "explain", "import apigee"] {
        let words: Vec<&str> = command.split(' ').chain(["--help"]).collect();
        let run = run(&words, "");
        assert!(run.stdout.contains("Exits 0"), "{command}: {}", run.stdout);
    }
    let run = run(&["--help"], "");
    for line in ["explain    Tell why a request", "import     Write routes", "top        Show what an Envoy"]
    {
        assert!(run.stdout.contains(line), "{line}: {}", run.stdout);
    }
}
