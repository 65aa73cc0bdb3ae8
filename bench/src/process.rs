//! An Envoy as the kernel sees it: which core its worker has, how much time it used, how much memory it holds.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// A running Envoy's process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Process {
    id: u32,
    /// The thread of its only worker.
    worker: u32,
}

/// The core of the worker, and the core of everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    pub(crate) worker: usize,
    pub(crate) others: usize,
}

impl Cores {
    /// Chooses two; none on a machine that gives us only one.
    pub(crate) fn choose() -> Result<Option<Self>> {
        let allowed =
            sched_getaffinity(None).context("the kernel does not tell on which cores we may run")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        Ok(match (cores.next(), cores.next()) {
            (Some(others), Some(worker)) => Some(Self { worker, others }),
            _ => None,
        })
    }

    /// Keeps the calling thread on the core that is not the worker's.
    pub(crate) fn keep_this_thread(self) -> Result<()> {
        keep(None, self.others)
    }
}

impl Process {
    /// Finds the worker of the Envoy with this process id, which must have one worker.
    pub(crate) fn new(id: u32) -> Result<Self> {
        let mut workers = threads(id)?.into_iter().filter(|thread| name(id, *thread).starts_with("wrk:"));
        match (workers.next(), workers.next()) {
            (Some(worker), None) => Ok(Self { id, worker }),
            (None, _) => {
                bail!("process {id} has no thread named `wrk:…`: is it an Envoy that this tool knows?")
            }
            (Some(_), Some(_)) => {
                bail!("process {id} has more than one worker: start it with --concurrency 1")
            }
        }
    }

    /// Gives the worker one core and all other threads the other.
    pub(crate) fn pin(self, cores: Cores) -> Result<()> {
        for thread in threads(self.id)? {
            let core = if thread == self.worker { cores.worker } else { cores.others };
            let pid =
                i32::try_from(thread).ok().and_then(Pid::from_raw).context("a thread id that is none")?;
            match keep(Some(pid), core) {
                Ok(()) => {}
                // It ended meanwhile.
                Err(_) if thread != self.worker && name(self.id, thread).is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How long the worker has been running on a core.
    pub(crate) fn worker_time(self) -> Result<Duration> {
        thread_time(self.id, self.worker)
    }

    /// How long all threads have been running.
    pub(crate) fn time(self) -> Result<Duration> {
        threads(self.id)?.into_iter().map(|thread| thread_time(self.id, thread)).sum()
    }

    /// What it holds in memory, in bytes; what it shares with others counts in parts.
    pub(crate) fn memory(self) -> Result<u64> {
        memory(self.id)
    }
}

/// What a process holds in memory, in bytes; what it shares with others counts in parts.
pub(crate) fn memory(id: u32) -> Result<u64> {
    let text = read(format!("/proc/{id}/smaps_rollup"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("Pss:")).context("smaps_rollup without `Pss:`")?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().context("`Pss:` without a number")?;
    Ok(kilobytes * 1024)
}

fn keep(thread: Option<Pid>, core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(thread, &set).with_context(|| {
        format!(
            "the kernel does not let us run on core {core} only: allow sched_setaffinity, or give --unpinned"
        )
    })
}

fn threads(id: u32) -> Result<Vec<u32>> {
    let place = PathBuf::from(format!("/proc/{id}/task"));
    let entries = fs::read_dir(&place).with_context(|| format!("{}: has Envoy ended?", place.display()))?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

fn name(id: u32, thread: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/task/{thread}/comm")).unwrap_or_default()
}

fn thread_time(id: u32, thread: u32) -> Result<Duration> {
    // Nanoseconds on a core, nanoseconds in the queue, times on a core.
    let text = read(format!("/proc/{id}/task/{thread}/schedstat"))?;
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse().ok());
    nanoseconds
        .map(Duration::from_nanos)
        .context("schedstat without a number: this kernel has no CONFIG_SCHED_INFO")
}

fn read(place: String) -> Result<String> {
    fs::read_to_string(&place).with_context(|| format!("{place}: has Envoy ended?"))
}
