//! A started program with its log. Ended when dropped; whatever is left ends with the tests' namespace.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use attache_harness::wait::wait_for;

/// A running program.
pub(crate) struct Program {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it in a process group of its own, with its output in `DIRECTORY/NAME.log`.
    pub(crate) fn start(name: &'static str, directory: &Path, command: &mut Command) -> Result<Self> {
        let log = directory.join(format!("{name}.log"));
        let output = File::options().create(true).append(true).open(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// Waits until `ask` has an answer; fails at once if the program ends, and tells the end of its log.
    pub(crate) fn wait_until<T>(
        &mut self,
        what: &str,
        patience: Duration,
        mut ask: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let name = self.name;
        let child = &mut self.child;
        let answer = wait_for(what, patience, || {
            if let Some(status) = child.try_wait()? {
                bail!("{name} ended: {status}");
            }
            Ok(ask())
        });
        answer.with_context(|| format!("{name}'s log ends with:\n{}", tail(&self.log())))
    }

    /// All that it has written.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends it a signal, such as `STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let process = format!("-{}", self.child.id());
        // It may have ended already.
        let mut command = Command::new("kill");
        let _ = command.args([&format!("-{signal}"), "--", &process]).stderr(Stdio::null()).status();
    }

    /// Ends it as its operator does, and waits for its end.
    pub(crate) fn stop(&mut self, patience: Duration) -> Result<()> {
        self.signal("TERM");
        wait_for(&format!("the end of {}", self.name), patience, || Ok(self.child.try_wait()?))?;
        Ok(())
    }

    /// Ends it, as a machine's failure would: at once.
    pub(crate) fn kill(&mut self) {
        self.signal("KILL");
        let _ = self.child.wait();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it wrote to its standard output.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{command:?} failed, {}:\n{text}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(text)
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

const LOG_TAIL: usize = 30;
