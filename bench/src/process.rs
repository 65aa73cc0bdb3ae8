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

    /// What the largest VM of a wasm filter has in its linear memory, in bytes: the worker's, since the others see no
    /// requests. None where there is no VM.
    pub(crate) fn vm_memory(self) -> Result<Option<u64>> {
        Ok(linear_memory(&read(format!("/proc/{}/smaps", self.id))?))
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

/// V8 gives each VM a memory that can be written, and reserves all addresses behind it that 32 bits can name.
fn linear_memory(smaps: &str) -> Option<u64> {
    let mut largest = None;
    // The end of the last mapping that can be written, and how much of it is there.
    let mut candidate: Option<(u64, u64)> = None;
    for line in smaps.lines() {
        if let Some((start, end, permissions)) = mapping(line) {
            if let Some((memory, resident)) = candidate
                && memory == start
                && permissions == "---p"
                && end - start >= RESERVED
            {
                largest = largest.max(Some(resident));
            }
            candidate = (permissions == "rw-p").then_some((end, 0));
        } else if let (Some(rest), Some((_, resident))) = (line.strip_prefix("Rss:"), &mut candidate) {
            *resident = rest.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or_default() * 1024;
        }
    }
    largest
}

/// The line at which a mapping begins.
fn mapping(line: &str) -> Option<(u64, u64, &str)> {
    let (addresses, rest) = line.split_once(' ')?;
    let (start, end) = addresses.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    Some((address(start)?, address(end)?, rest.split(' ').next()?))
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

/// Of the addresses behind a VM's memory; a guard page is much less.
const RESERVED: u64 = 4 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_a_vm_is_what_stands_before_a_large_reserve() {
        let smaps = "\
            100000000-100200000 rw-p 00000000 00:00 0 \nRss:                 532 kB\nPss:                 532 kB\n\
            100200000-300000000 ---p 00000000 00:00 0 \nRss:                   0 kB\n\
            400000000-400100000 rw-p 00000000 00:00 0 \nRss:                  96 kB\nVmFlags: rd wr\n\
            400100000-600000000 ---p 00000000 00:00 0 \nRss:                   0 kB\n\
            700000000-700100000 rw-p 00000000 00:00 0    [heap]\nRss:                9000 kB\n\
            700100000-700101000 ---p 00000000 00:00 0 \nRss:                   0 kB\n";
        assert_eq!(linear_memory(smaps), Some(532 * 1024));
        assert_eq!(linear_memory("700000000-700100000 rw-p 00000000 00:00 0 \nRss: 9 kB\n"), None);
    }
}
