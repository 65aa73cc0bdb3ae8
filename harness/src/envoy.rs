//! Runs a real Envoy: one process, its own directory and ports, ended in every case. Envoy runs under a small shell
//! that holds the other end of a pipe: when this process ends, however it ends, the pipe closes and Envoy is stopped.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Request, Response};
use crate::prometheus::{self, Sample};
use crate::wait::wait_for;

/// A running Envoy. Stopped when dropped.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
}

/// How an Envoy starts.
#[derive(Clone, Debug)]
pub struct EnvoyOptions {
    /// The program. Default: `find_binary`.
    pub binary: Option<PathBuf>,
    /// The bootstrap, YAML or JSON. `{{dir}}` stands for the instance's own directory. Give listeners and the admin
    /// port 0: `Envoy::listener` and `Envoy::admin` tell which ports they got.
    pub bootstrap: String,
    /// Files in the instance's own directory, written before the start: for ECDS from files, certificates, …
    pub files: Vec<(String, Vec<u8>)>,
    /// How many workers.
    pub concurrency: u32,
    /// The log level.
    pub log_level: String,
    /// Levels of components, such as `wasm:debug`.
    pub component_log_level: Option<String>,
    /// More arguments.
    pub arguments: Vec<String>,
    /// More environment, for `host_env_keys`.
    pub environment: Vec<(String, String)>,
    /// The working directory, against which the bootstrap's relative paths are read. Default: this process's.
    pub directory: Option<PathBuf>,
    /// How long it may take until it is ready.
    pub patience: Duration,
}

/// How an Envoy ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The exit status.
    pub status: Option<i32>,
    /// Its log.
    pub log: String,
    /// Its standard output: access logs.
    pub output: String,
}

impl Envoy {
    /// Starts Envoy and waits until it is ready.
    pub fn start(options: EnvoyOptions) -> Result<Self> {
        let patience = options.patience;
        let mut process = Process::spawn(options)?;
        let ready = wait_for("Envoy to be ready", patience, || {
            if let Some(status) = process.exited()? {
                bail!("Envoy ended with {status}");
            }
            let Some(admin) = process.admin() else { return Ok(None) };
            let ready = Request::get(format!("http://{admin}/ready")).timeout(ADMIN_TIMEOUT).send();
            Ok(ready.is_ok_and(|response| response.status == 200).then_some(admin))
        });
        match ready {
            Ok(admin) => Ok(Self { process, admin }),
            Err(error) => Err(error.context(format!("Envoy's log ends with:\n{}", tail(&process.logs())))),
        }
    }

    /// Starts Envoy and expects that it ends by itself, since it refuses its bootstrap.
    pub fn expect_refused(options: EnvoyOptions) -> Result<Ended> {
        let patience = options.patience;
        let mut process = Process::spawn(options)?;
        let ended = wait_for("Envoy to refuse its bootstrap", patience, || {
            if let Some(status) = process.exited()? {
                return Ok(Some(status));
            }
            if let Some(admin) = process.admin()
                && Request::get(format!("http://{admin}/ready"))
                    .timeout(ADMIN_TIMEOUT)
                    .send()
                    .is_ok_and(|response| response.status == 200)
            {
                bail!("Envoy took the bootstrap and is ready");
            }
            Ok(None)
        });
        match ended {
            Ok(status) => Ok(process.ended(status)),
            Err(error) => Err(error.context(format!("Envoy's log ends with:\n{}", tail(&process.logs())))),
        }
    }

    /// Returns where the admin listens.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Returns where a listener listens; waits for one that is still being added.
    pub fn listener(&self, name: &str) -> Result<SocketAddr> {
        wait_for(&format!("listener `{name}`"), ADMIN_TIMEOUT, || {
            let listeners = self.admin_get("/listeners?format=json")?.json()?;
            Ok(listeners
                .get("listener_statuses")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .find(|listener| listener.get("name").and_then(Value::as_str) == Some(name))
                .and_then(|listener| {
                    let socket = listener.pointer("/local_address/socket_address")?;
                    let port = u16::try_from(socket.get("port_value")?.as_u64()?).ok()?;
                    Some(SocketAddr::new(socket.get("address")?.as_str()?.parse().ok()?, port))
                }))
        })
    }

    /// Returns a listener's base URL, without a slash at the end.
    pub fn url(&self, listener: &str) -> Result<String> {
        Ok(format!("http://{}", self.listener(listener)?))
    }

    /// Asks the admin.
    pub fn admin_get(&self, path: &str) -> Result<Response> {
        Request::get(format!("http://{}{path}", self.admin)).timeout(ADMIN_TIMEOUT).send()
    }

    /// Posts to the admin: `/logging?wasm=debug`, `/drain_listeners`, …
    pub fn admin_post(&self, path: &str) -> Result<Response> {
        Request::post(format!("http://{}{path}", self.admin)).timeout(ADMIN_TIMEOUT).send()
    }

    /// Returns all counters and gauges by their full names.
    pub fn stats(&self) -> Result<BTreeMap<String, u64>> {
        let text = self.admin_get("/stats")?.text();
        let pairs = text.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Ok(pairs.collect())
    }

    /// Returns one counter or gauge; zero if Envoy does not know it yet.
    pub fn stat(&self, name: &str) -> Result<u64> {
        Ok(self.stats()?.get(name).copied().unwrap_or(0))
    }

    /// Returns the Prometheus page.
    pub fn prometheus(&self) -> Result<String> {
        Ok(self.admin_get("/stats/prometheus")?.text())
    }

    /// Returns the samples of the Prometheus page.
    pub fn samples(&self) -> Result<Vec<Sample>> {
        Ok(prometheus::parse(&self.prometheus()?))
    }

    /// Returns the sum of a metric's samples that carry all of these labels.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
        Ok(prometheus::sum(&self.samples()?, name, labels))
    }

    /// Returns the log so far.
    pub fn logs(&self) -> String {
        self.process.logs()
    }

    /// Returns what it wrote to its standard output so far: access logs.
    pub fn output(&self) -> String {
        self.process.read("stdout")
    }

    /// Returns the instance's own directory.
    pub fn directory(&self) -> &Path {
        self.process.directory.path()
    }

    /// Replaces a file in the instance's own directory by rename, as Envoy's file watches want it.
    pub fn replace_file(&self, name: &str, contents: &[u8]) -> Result<()> {
        let new = self.directory().join(format!("{name}.new"));
        fs::write(&new, contents)?;
        fs::rename(&new, self.directory().join(name))?;
        Ok(())
    }

    /// Returns Envoy's process id.
    pub fn pid(&self) -> Result<u32> {
        self.process.read("pid").trim().parse().context("Envoy's process id is not known")
    }

    /// Returns how it ended, or none while it runs.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.process.exited()
    }

    /// Stops it and returns how it ended, with all that it wrote.
    pub fn stop(mut self) -> Result<Ended> {
        let status = self.process.stop()?;
        Ok(self.process.ended(status))
    }
}

impl Default for EnvoyOptions {
    fn default() -> Self {
        Self {
            binary: None,
            bootstrap: String::new(),
            files: Vec::new(),
            concurrency: 2,
            log_level: "info".into(),
            component_log_level: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            directory: None,
            patience: Duration::from_secs(60),
        }
    }
}

/// Finds Envoy: `$ATTACHE_ENVOY`, else what `make` installed into `.tools` of this directory or one above.
pub fn find_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ATTACHE_ENVOY") {
        return Ok(path.into());
    }
    let here = std::env::current_dir()?;
    here.ancestors().map(|directory| directory.join(INSTALLED)).find(|path| path.is_file()).with_context(
        || {
            format!(
                "no {INSTALLED} here or above: run `make setup`, or name one with ATTACHE_ENVOY or --envoy"
            )
        },
    )
}

#[derive(Debug)]
struct Process {
    shell: Child,
    /// Closing it stops Envoy.
    leash: Option<ChildStdin>,
    directory: TempDir,
}

impl Process {
    fn spawn(options: EnvoyOptions) -> Result<Self> {
        let binary = match options.binary {
            Some(binary) => binary,
            None => find_binary()?,
        };
        // The shell would report a missing program only in the log.
        let binary = fs::canonicalize(&binary).with_context(|| {
            format!("no Envoy at {}: run `make setup`, or name one with --envoy", binary.display())
        })?;
        let directory = tempfile::Builder::new().prefix("attache-envoy-").tempdir()?;
        let at = |name: &str| directory.path().join(name);
        for (name, contents) in &options.files {
            fs::write(at(name), contents)?;
        }
        let dir = directory.path().to_str().context("the temporary directory's path is not UTF-8")?;
        let bootstrap = at("bootstrap.yaml");
        fs::write(&bootstrap, options.bootstrap.replace("{{dir}}", dir))?;

        let mut command = Command::new("sh");
        command.args(["-c", LEASH]).arg(directory.path()).arg(binary);
        command.arg("--config-path").arg(&bootstrap);
        command.arg("--admin-address-path").arg(at("admin"));
        // No shared memory, no domain sockets: instances cannot meet.
        command.arg("--disable-hot-restart");
        // Access logs are there when a test looks.
        command.args(["--file-flush-interval-msec", "100"]);
        command.arg("--concurrency").arg(options.concurrency.to_string());
        command.arg("--log-level").arg(&options.log_level);
        if let Some(levels) = &options.component_log_level {
            command.arg("--component-log-level").arg(levels);
        }
        command.args(&options.arguments);
        command.envs(options.environment);
        if let Some(directory) = &options.directory {
            command.current_dir(directory);
        }
        command.stdin(Stdio::piped());
        command.stdout(File::create(at("stdout"))?).stderr(File::create(at("stderr"))?);
        // Ctrl-C in a terminal goes to us alone; we stop Envoy.
        command.process_group(0);
        let mut shell = command.spawn().context("cannot start `sh`")?;
        let leash = shell.stdin.take();
        Ok(Self { shell, leash, directory })
    }

    fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.shell.try_wait()?)
    }

    fn admin(&self) -> Option<SocketAddr> {
        self.read("admin").trim().parse().ok()
    }

    fn read(&self, name: &str) -> String {
        fs::read(self.directory.path().join(name))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn logs(&self) -> String {
        self.read("stderr")
    }

    fn ended(&self, status: ExitStatus) -> Ended {
        Ended { status: status.code(), log: self.logs(), output: self.read("stdout") }
    }

    fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(mut leash) = self.leash.take() {
            // A line before the end tells the shell that we live, and look after the directory ourselves.
            let _ = leash.write_all(b"stop\n");
        }
        Ok(self.shell.wait()?)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    let start = lines.len().saturating_sub(LOG_TAIL);
    lines.get(start..).unwrap_or_default().join("\n")
}

/// `$0` is the instance's directory, the rest is Envoy's command line.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
envoy=$!
echo $envoy >"$0/pid"
{
    read -r _ <&3 || : >"$0/orphaned"
    kill -TERM $envoy
    tries=0
    while kill -0 $envoy && [ $tries -lt 30 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    kill -KILL $envoy
} >/dev/null 2>&1 &
watcher=$!
wait $envoy
status=$?
kill -KILL $watcher 2>/dev/null
[ -e "$0/orphaned" ] && rm -rf "$0"
exit $status
"#;
const INSTALLED: &str = ".tools/envoy-1.40.0/envoy";
const ADMIN_TIMEOUT: Duration = Duration::from_secs(5);
const LOG_TAIL: usize = 30;
