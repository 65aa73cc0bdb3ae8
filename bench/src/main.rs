//! `attache-bench`: measures Attaché beside Envoy's own filters, in the same Envoy, with the same tokens and the same
//! rule. What it prints holds for the machine that it runs on; docs/performance.md says how it measures.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks to its terminal")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "a native tool that computes with its own numbers; a panic ends it with a message, and no request with it"
)]

mod answer;
mod comparison;
mod contender;
mod envoy_under_test;
mod flood;
mod growth;
mod key;
mod load;
mod modulus;
mod outbound;
mod plot;
mod presence;
mod process;
mod progress;
mod report;
mod requests;
mod statistics;
mod summary;
mod target;
mod token;
mod topology;
mod upstream;
mod workload;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};

use self::comparison::{Comparison, Effort, Plan};
use self::contender::{Contender, Modules};
use self::envoy_under_test::Testbed;
use self::flood::Flood;
use self::growth::{Axis, Growth};
use self::presence::Presence;
use self::process::Cores;
use self::statistics::Verdict;
use self::summary::Summary;
use self::workload::Workload;

/// Measures Attaché beside Envoy's own filters.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    /// The essential ratios only, in less than a minute.
    #[arg(long)]
    quick: bool,
    /// What to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Kind::Compare, Kind::Flood, Kind::Growth, Kind::Presence])]
    parts: Vec<Kind>,
    /// Only these workloads, or what grows: names of summary.json.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    only: Vec<String>,
    /// Only these contenders, and ours: names of summary.json.
    #[arg(long, value_delimiter = ',', value_name = "NAME")]
    contenders: Vec<String>,
    /// How often all Envoys are started; from six on, intervals have 95 %. Default: 6, quick 1.
    #[arg(long)]
    runs: Option<usize>,
    /// How many rounds each start has. Default: 3, quick 6.
    #[arg(long)]
    rounds: Option<usize>,
    /// How long each contender is measured in a round, about, in milliseconds. Default: 500, quick 250.
    #[arg(long)]
    millis: Option<u64>,
    /// Where randomness begins.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Envoy's program. Default: the installed one.
    #[arg(long, env = "ATTACHE_ENVOY")]
    envoy: Option<PathBuf>,
    /// The filter.
    #[arg(long, env = "ATTACHE_WASM", default_value = "target/attache.wasm")]
    wasm: PathBuf,
    /// The filter that does nothing.
    #[arg(long, default_value = "target/noop/wasm32-wasip1/release/noop.wasm")]
    noop: PathBuf,

    /// The filter that has the signature checked and does nothing else
    #[arg(long, default_value = "target/verify_only/wasm32-wasip1/release/verify_only.wasm")]
    verify_only: PathBuf,
    /// Where summary.json and the plots go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Leave it to the kernel which cores are used.
    #[arg(long)]
    unpinned: bool,
    /// End with status 1 unless every target is kept.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// All contenders with all workloads.
    Compare,
    /// Known tokens while forged ones come.
    Flood,
    /// Routes, issuers, keys, cached tokens and outbound clients in growing numbers.
    Growth,
    /// What being there costs.
    Presence,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("attache-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let effort = arguments.effort()?;
    let (workloads, axes) = arguments.chosen()?;
    let testbed = arguments.testbed()?;
    fs::create_dir_all(&arguments.out).with_context(|| {
        format!("cannot make {}: give another directory with --out", arguments.out.display())
    })?;
    let (attache, noop) = (arguments.keep(&arguments.wasm)?, arguments.keep(&arguments.noop)?);
    let verify_only = arguments.keep(&arguments.verify_only)?;
    let modules = Modules { attache: &attache, noop: &noop, verify_only: &verify_only };
    tell_about_others();

    let contenders = arguments.chosen_contenders()?;
    let plan = Plan { workloads: &workloads, contenders: &contenders, effort: &effort };
    let comparison = match workloads.as_slice() {
        [] => None,
        _ => Some(Comparison::measure(&plan, &testbed, modules)?),
    };
    let floods = match arguments.measures(Kind::Flood) {
        true => Flood::measure(&effort, &testbed, modules)?,
        false => Vec::new(),
    };
    let growths: Vec<Growth> =
        axes.iter().map(|axis| Growth::measure(*axis, &effort, &testbed, modules)).collect::<Result<_>>()?;
    let presence = match arguments.measures(Kind::Presence) {
        true => Some(Presence::measure(&effort, &testbed, modules)?),
        false => None,
    };

    let mut targets = comparison.as_ref().map(target::of_comparison).unwrap_or_default();
    targets.extend(target::of_floods(&floods));
    targets.extend(target::of_growth(&growths));
    fs::create_dir_all(&arguments.out).with_context(|| {
        format!("cannot make {}: give another directory with --out", arguments.out.display())
    })?;
    if let Some(comparison) = &comparison {
        print!("{}", report::of_comparison(comparison));
        arguments.write("comparison.svg", &plot::of_comparison(comparison))?;
        tell_if_disturbed(comparison);
    }
    print!("{}", report::of_floods(&floods));
    if !growths.is_empty() {
        print!("{}", report::of_growth(&growths));
        arguments.write("growth.svg", &plot::of_growth(&growths))?;
    }
    if let Some(presence) = &presence {
        print!("{}", report::of_presence(presence));
    }
    print!("{}", report::of_targets(&targets));
    let summary = Summary {
        effort: &effort,
        testbed: &testbed,
        module: &attache,
        comparison: comparison.as_ref(),
        floods: &floods,
        growths: &growths,
        presence: presence.as_ref(),
        targets: &targets,
    };
    arguments.write("summary.json", &format!("{:#}\n", summary.document()?))?;
    println!("\nwritten to {}: summary.json and plots", arguments.out.display());
    let all_kept = targets.iter().all(|target| target.verdict == Verdict::Pass);
    Ok(if arguments.strict && !all_kept { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn measures(&self, kind: Kind) -> bool {
        !self.quick && self.parts.contains(&kind)
    }

    fn effort(&self) -> Result<Effort> {
        let (runs, rounds, millis) = if self.quick { (1, 6, 250) } else { (6, 3, 500) };
        let runs = self.runs.unwrap_or(runs);
        let rounds = self.rounds.unwrap_or(rounds);
        let part = Duration::from_millis(self.millis.unwrap_or(millis));
        if runs == 0 || rounds == 0 || part.is_zero() {
            bail!("nothing to measure: give --runs, --rounds and --millis numbers from 1");
        }
        Ok(Effort { runs, rounds, part, seed: self.seed })
    }

    /// The workloads and axes to measure.
    fn chosen(&self) -> Result<(Vec<Workload>, Vec<Axis>)> {
        let is_named = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let workloads = if self.quick { &Workload::QUICK[..] } else { &Workload::ALL };
        let workloads = workloads.iter().copied().filter(|workload| is_named(&workload.key()));
        let workloads = workloads.filter(|_| self.quick || self.measures(Kind::Compare)).collect();
        let axes = Axis::ALL.into_iter().filter(|axis| is_named(axis.key()));
        let axes = axes.filter(|_| self.measures(Kind::Growth)).collect();
        let axis_names = Axis::ALL.into_iter().map(|axis| axis.key().to_owned());
        let names: Vec<String> = Workload::ALL.into_iter().map(Workload::key).chain(axis_names).collect();
        if let Some(unknown) = self.only.iter().find(|only| !names.contains(only)) {
            bail!("nothing is named `{unknown}`: use some of {}", names.join(", "));
        }
        Ok((workloads, axes))
    }

    fn chosen_contenders(&self) -> Result<Vec<Contender>> {
        let names = Contender::ALL.map(Contender::key);
        if let Some(unknown) = self.contenders.iter().find(|only| !names.contains(&only.as_str())) {
            bail!("no contender is named `{unknown}`: use some of {}", names.join(", "));
        }
        let all = if self.quick { QUICK_CONTENDERS } else { &Contender::ALL };
        let is_named = |contender: &Contender| self.contenders.iter().any(|name| name == contender.key());
        let is_ours =
            |contender: &Contender| matches!(contender, Contender::Attache | Contender::AttacheClaims);
        let wanted =
            |contender: &Contender| self.contenders.is_empty() || is_ours(contender) || is_named(contender);
        Ok(all.iter().copied().filter(wanted).collect())
    }

    fn testbed(&self) -> Result<Testbed> {
        let envoy = match &self.envoy {
            Some(envoy) => envoy.clone(),
            None => attache_harness::envoy::find_binary()?,
        };
        let output = Command::new(&envoy).arg("--version").output();
        let output = output.with_context(|| format!("no Envoy at {}: run `make setup`", envoy.display()))?;
        // After the program's path: commit/version/….
        let version = String::from_utf8_lossy(&output.stdout);
        let version =
            version.split_once("version: ").map_or("unknown", |(_, version)| version.trim()).to_owned();
        let cores = if self.unpinned { None } else { Cores::choose()? };
        if cores.is_none() {
            eprintln!("attache-bench: the worker and the load share cores, so expect little of the numbers");
        }
        Ok(Testbed { envoy, version, cores })
    }

    /// Copies a module beside the results, so that all Envoys load the same one, whatever is built meanwhile.
    fn keep(&self, module: &Path) -> Result<PathBuf> {
        let name = module.file_name().with_context(|| format!("{} is no file", module.display()))?;
        let copy = self.out.join(name);
        fs::copy(module, &copy).with_context(|| {
            format!("no module at {}: run `make bench`, which builds it", module.display())
        })?;
        Ok(fs::canonicalize(copy)?)
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.out.join(name);
        fs::write(&path, text)
            .with_context(|| format!("cannot write {}: give another directory with --out", path.display()))
    }
}

/// Whatever else runs here takes time from the measurement.
fn tell_about_others() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|load| load.parse::<f64>().ok()).unwrap_or_default();
    if load > BUSY_MACHINE {
        eprintln!(
            "attache-bench: this machine is busy (load {load:.1}); end what else runs for numbers that mean something"
        );
    }
}

/// A worker that is not on its core all the time was disturbed, or the load was too slow for it.
fn tell_if_disturbed(comparison: &Comparison) {
    let busy = comparison.workloads().flat_map(|workload| {
        let contenders = comparison.contenders(workload);
        contenders
            .filter_map(move |contender| comparison.median(workload, contender, envoy_under_test::Cost::busy))
    });
    let least = busy.fold(1.0, f64::min);
    if least < target::MIN_BUSY {
        println!(
            "\nA worker was on its core only {:.0} % of the time: something else ran there, or the load was too slow. Prefer the \
             ratios by worker's time, or measure again on a quiet machine.",
            least * 100.0
        );
    }
}

/// One contender of each kind that a target is about, and who else puts tokens on requests.
const QUICK_CONTENDERS: &[Contender] = &[
    Contender::None,
    Contender::JwtRbac,
    Contender::JwtCacheRbac,
    Contender::CredentialInjector,
    Contender::Attache,
];
const BUSY_MACHINE: f64 = 0.7;
