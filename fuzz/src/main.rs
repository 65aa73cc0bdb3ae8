//! `attache-fuzz`: what `tools/fuzz` asks of the corpora, and a finding run again without libFuzzer.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::{env, fs, io};

use attache_fuzz::{TARGETS, Target, corpus};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &arguments[..] {
        ["targets"] => {
            TARGETS.iter().for_each(|target| println!("{} {}", target.name, target.max_bytes));
            Ok(())
        }
        ["unpack", name, folder] => with(name, |target| unpack(target, Path::new(folder))),
        ["pack", name, folder, file] => with(name, |target| pack(target, Path::new(folder), Path::new(file))),
        ["replay", name, files @ ..] if !files.is_empty() => with(name, |target| replay(target, files)),
        _ => Err(io::Error::other(USAGE)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn with(name: &str, act: impl FnOnce(&Target) -> io::Result<()>) -> io::Result<()> {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let unknown = || io::Error::other(format!("no target is named `{name}`: {}", names.join(", ")));
    act(Target::named(name).ok_or_else(unknown)?)
}

/// The kept inputs, each in a file, as libFuzzer has them.
fn unpack(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in corpus::inputs(target).iter().enumerate() {
        fs::write(folder.join(format!("kept-{number:04}")), input)?;
    }
    Ok(())
}

/// The inputs of a folder take the place of those that were found before; what was kept by hand stays.
fn pack(target: &Target, folder: &Path, file: &Path) -> io::Result<()> {
    let by_hand = corpus::by_hand(target.corpus);
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let line = corpus::line(&fs::read(entry?.path())?);
        lines.insert((line.len(), line));
    }
    let found = lines.iter().map(|(_, line)| line.as_str());
    let found: Vec<&str> = found.filter(|line| by_hand.lines().all(|kept| kept != *line)).collect();
    let text = format!("{by_hand}{}\n{}\n", corpus::FOUND, found.join("\n"));
    fs::write(file, text)?;
    println!("{}: {} inputs, {} KB", file.display(), lines.len(), fs::metadata(file)?.len().div_ceil(1024));
    Ok(())
}

/// Runs inputs; a finding panics.
fn replay(target: &Target, files: &[&str]) -> io::Result<()> {
    for file in files {
        eprintln!("{}: {file}", target.name);
        (target.run)(&fs::read(file)?);
    }
    println!("{}: {} inputs, nothing found", target.name, files.len());
    Ok(())
}

const USAGE: &str = "usage: attache-fuzz targets
       attache-fuzz unpack TARGET FOLDER
       attache-fuzz pack TARGET FOLDER FILE
       attache-fuzz replay TARGET FILE...";
