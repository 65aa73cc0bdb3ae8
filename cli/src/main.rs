//! `attachectl`: Attaché's command line.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to its terminal")]

mod command;

use std::process::ExitCode;

use clap::Parser;

use command::Command;

/// Attaché's command line: try it, watch it, test against it.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    match Arguments::parse().command.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("attachectl: {error:#}");
            ExitCode::from(2)
        }
    }
}
