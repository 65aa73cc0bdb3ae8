//! `attachectl top`, of a page that a test writes: on a pipe, and on a terminal, which is `script`'s.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::documents::root;
use crate::tool::run_in;

/// An admin page.
struct Admin {
    address: SocketAddr,
    /// What it answers; `None`: it hangs up.
    page: Arc<Mutex<Option<String>>>,
}

impl Admin {
    fn start(mut page: impl FnMut(u64) -> Option<String> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shown = Arc::new(Mutex::new(None));
        let answered = Arc::clone(&shown);
        std::thread::spawn(move || {
            for (number, stream) in (0..).zip(listener.incoming()) {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let fixed: Option<String> = answered.lock().unwrap().clone();
                let Some(page) = fixed.or_else(|| page(number)) else { continue };
                let head =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", page.len());
                let _ = stream.write_all((head + &page).as_bytes());
            }
        });
        Self { address, page: shown }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn page(values: &[(&str, u64)]) -> String {
    let stats: Vec<Value> =
        values.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({ "stats": stats }).to_string()
}

fn decision(route: &str, outcome: &str, reason: &str) -> String {
    format!(
        "wasmcustom.route=.={route};.;issuer=.=demo;.;outcome=.={outcome};.;reason=.={reason};.;attache_decisions_total"
    )
}

/// What an Envoy says with both halves, when each count is so many times its first.
fn busy(times: u64) -> String {
    let next = "wasmcustom.issuer=.=demo;.;attache_key_next_fetch_timestamp_seconds";
    page(&[
        ("server.live", 1),
        ("server.state", 0),
        ("server.uptime", 7_300),
        ("server.concurrency", 2),
        ("wasm.envoy.wasm.runtime.v8.active", 4),
        ("wasm.attache.vm_reload", 1),
        ("wasm.attache.vm_reload_success", 1),
        (&decision("list-orders", "permit", "ok"), 1_000 * times),
        (&decision("list-orders", "deny", "expired"), 10 * times),
        (&decision("create-order", "deny", "keys_unavailable"), 2 * times),
        (&decision("quiet", "deny", "internal"), 0),
        ("wasmcustom.result=.=hit;.;attache_token_cache_total", 99),
        ("wasmcustom.result=.=miss;.;attache_token_cache_total", 1),
        ("wasmcustom.engine=.=envoy;.;attache_signature_checks_total", times),
        (
            "wasmcustom.issuer=.=demo;.;client=.=shop;.;outcome=.=permit;.;attache_decisions_by_client_total",
            500 * times,
        ),
        ("wasmcustom.issuer=.=demo;.;attache_keys", 2),
        ("wasmcustom.issuer=.=demo;.;attache_key_age_seconds", 130),
        ("wasmcustom.issuer=.=demo;.;attache_key_fetch_failures", 0),
        (next, 10_000_000_000),
        ("wasmcustom.issuer=.=partner;.;attache_keys", 0),
        ("wasmcustom.issuer=.=partner;.;attache_key_fetch_failures", 3),
        ("wasmcustom.client=.=billing;.;attache_token_seconds_to_expiry", 240),
        ("wasmcustom.client=.=billing;.;attache_token_margin_left_percent", 100),
        ("wasmcustom.client=.=billing;.;attache_token_endpoint_breaker", 0),
        ("wasmcustom.client=.=billing;.;attache_token_request_failures", 0),
        ("wasmcustom.client=.=billing;.;outcome=.=injected;.;attache_injections_total", 40 * times),
        ("wasmcustom.client=.=billing;.;result=.=obtained;.;attache_token_requests_total", 7),
        ("cluster.stock.wasmcustom.client=.=stock;.;attache_token_seconds_to_expiry", 0),
        ("cluster.stock.wasmcustom.client=.=stock;.;attache_token_endpoint_breaker", 2),
        ("wasmcustom.attache_requests_waiting_for_tokens", 5),
    ])
}

#[test]
fn on_a_pipe_it_prints_one_table_and_ends() {
    let admin = Admin::start(|number| Some(busy(number + 1)));
    let run = run_in(&root(), &["top", "--admin", &admin.url(), "--interval", "1"], "");
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{}", run.stdout);
    let words: Vec<Vec<&str>> = run.stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let row = |name: &str| {
        words
            .iter()
            .find(|words| words.first() == Some(&name))
            .unwrap_or_else(|| panic!("{name}: {}", run.stdout))
    };
    // The busiest comes first.
    let decisions: Vec<&str> = words
        .iter()
        .skip_while(|words| words.first() != Some(&"ROUTE"))
        .skip(1)
        .take_while(|words| !words.is_empty())
        .map(|words| words[3])
        .collect();
    assert_eq!(decisions, ["ok", "expired", "keys_unavailable"], "{}", run.stdout);
    assert_eq!(row("create-order")[5], "4");
    // At least a second has passed.
    let rate: f64 = row("list-orders")[4].parse().unwrap();
    assert!((1.0..=1_000.0).contains(&rate), "{rate}");
    assert_eq!(row("demo")[1..4], ["2", "2", "min"]);
    assert_eq!(row("partner")[1..], ["0", "-", "3", "-"]);
    assert_eq!(row("billing")[1..6], ["in", "4", "min", "100", "%"]);
    assert_eq!(row("stock")[1..], ["(stock)", "no", "token", "-", "open", "-", "0.0", "0.0", "0"]);
    assert_eq!(row("shop")[1..3], ["demo", "permit"]);
    for part in [
        "Envoy live, up 2 h, 2 workers",
        "4 VMs, 1 reloads: 1 done",
        "token known 99 %",
        "wait for a token 5",
    ] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    assert!(!run.stdout.contains('\u{1b}'));
}

#[test]
fn a_page_that_is_none_is_told_with_what_to_do() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (url, why) in [
        (format!("http://{nobody}"), "is its admin page there"),
        (format!("{nobody}"), "is its admin page there"),
        ("https://127.0.0.1:9901".to_owned(), "has no TLS"),
        ("http://".to_owned(), "is no address"),
        (Admin::start(|_| Some("<html>".to_owned())).url(), "not the statistics of an Envoy"),
        (Admin::start(|_| None).url(), "is its admin page there"),
    ] {
        let run = run_in(&root(), &["top", "--admin", &url, "--interval", "1"], "");
        assert_eq!(run.code, 2, "{url}: {}", run.stdout);
        assert!(run.stderr.contains(why), "{url}: {}", run.stderr);
    }
    let empty = Admin::start(|_| Some(page(&[("server.live", 1)])));
    let run = run_in(&root(), &["top", "--admin", &empty.url(), "--interval", "1"], "");
    assert!(run.stdout.contains("no metrics of the filter: is it in this Envoy"), "{}", run.stdout);
}

/// `attachectl top` on a terminal.
struct Terminal {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    all: String,
}

impl Terminal {
    /// Before and after it, the shell prints the terminal's settings.
    fn start(admin: &Admin, size: &str) -> Self {
        let program = env!("CARGO_BIN_EXE_attachectl");
        let script = format!(
            "stty {size}; echo before $(stty -g); {program} top --interval 1 --admin {}; echo code $?; \
             echo after $(stty -g)",
            admin.url()
        );
        let mut child = Command::new("script")
            .args(["--quiet", "--return", "--command", &script, "/dev/null"])
            .env("TERM", "xterm-256color")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("script, of util-linux");
        let mut stdout = child.stdout.take().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stdout.read(&mut buffer) {
                let _ = sender.send(buffer[..read].to_vec());
            }
        });
        Self { child, output, seen: String::new(), all: String::new() }
    }

    /// Waits until this is shown, and forgets what came before it.
    fn wait_for(&mut self, text: &str) {
        loop {
            if let Some((_, behind)) = self.seen.split_once(text) {
                self.seen = behind.to_owned();
                return;
            }
            match self.output.recv_timeout(Duration::from_secs(60)) {
                Ok(bytes) => {
                    self.seen += &String::from_utf8_lossy(&bytes);
                    self.all += &String::from_utf8_lossy(&bytes);
                }
                Err(_) => panic!("`{text}` is not shown: {:?}", self.seen),
            }
        }
    }

    fn press(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for its end: the terminal is as it was.
    fn end(mut self, settings: &str) {
        self.wait_for("\u{1b}[?25h");
        self.wait_for("\u{1b}[?1049l");
        self.wait_for("code 0");
        self.wait_for("after ");
        self.wait_for(settings);
        assert!(self.child.wait().unwrap().success());
    }

    fn settings(&mut self) -> String {
        self.wait_for("before ");
        while !self.seen.contains('\n') {
            let bytes = self.output.recv_timeout(Duration::from_secs(60)).unwrap();
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        self.seen.lines().next().unwrap().trim().to_owned()
    }
}

#[test]
fn on_a_terminal_it_goes_on_until_a_key_ends_it_and_leaves_the_terminal_as_it_was() {
    for keys in ["q", "\u{3}", "\u{1b}"] {
        let admin = Admin::start(|number| Some(busy(number + 1)));
        let mut terminal = Terminal::start(&admin, "rows 40 cols 120");
        let settings = terminal.settings();
        terminal.wait_for("\u{1b}[?1049h");
        terminal.wait_for("list-orders");
        // The second reading has rates.
        terminal.wait_for("PER SECOND");
        terminal.wait_for("KEYS OF");
        terminal.press(keys);
        terminal.end(&settings);
    }
}

#[test]
fn a_page_that_is_lost_is_told_and_tried_again() {
    let admin = Admin::start(|_| None);
    let mut terminal = Terminal::start(&admin, "rows 24 cols 80");
    let settings = terminal.settings();
    terminal.wait_for("cannot be read, trying again");
    *admin.page.lock().unwrap() = Some(busy(1));
    terminal.wait_for("list-orders");
    *admin.page.lock().unwrap() = None;
    terminal.wait_for("cannot be read, trying again");
    terminal.wait_for("list-orders");
    terminal.press("q");
    terminal.end(&settings);
}

#[test]
fn it_leaves_the_terminal_as_it_was_when_it_is_told_to_end() {
    let admin = Admin::start(|_| Some(busy(1)));
    let mut terminal = Terminal::start(&admin, "rows 24 cols 80");
    let settings = terminal.settings();
    terminal.wait_for("list-orders");
    let port = admin.address.port().to_string();
    let of = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let words: Vec<&str> =
            line.split(|byte| *byte == 0).filter_map(|word| core::str::from_utf8(word).ok()).collect();
        let is_ours = words.get(1) == Some(&"top") && words.iter().any(|word| word.ends_with(&port));
        is_ours.then(|| path.file_name().unwrap().to_str().unwrap().to_owned())
    };
    let process = std::fs::read_dir("/proc").unwrap().find_map(of).expect("the process");
    assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    terminal.end(&settings);
}

#[test]
fn names_in_statistics_are_no_commands_for_the_terminal() {
    let hostile = "a\u{1b}]0;title\u{7}\u{1b}[2Jb\u{9b}31m\r\n\u{202e}";
    let name = decision(hostile, "permit", hostile);
    let text = page(&[
        ("server.live", 1),
        (&name, 3),
        (&format!("cluster.{hostile}.wasmcustom.client=.={hostile};.;attache_token_seconds_to_expiry"), 1),
    ]);
    let admin = Admin::start(move |_| Some(text.clone()));
    let mut terminal = Terminal::start(&admin, "rows 12 cols 200");
    let settings = terminal.settings();
    terminal.wait_for("ROUTE");
    terminal.wait_for(r"a\u{1b}]0;title\u{7}");
    for command in ["\u{1b}]0;", "\u{1b}[2J", "\u{7}", "\u{9b}", "\u{202e}"] {
        assert!(!terminal.all.contains(command), "{:?}", terminal.all);
    }
    terminal.press("q");
    terminal.end(&settings);
}

#[test]
fn keys_count_while_the_page_does_not_answer() {
    let (_answer, answers) = channel::<()>();
    let admin = Admin::start(move |_| {
        let _ = answers.recv();
        None
    });
    let mut terminal = Terminal::start(&admin, "rows 24 cols 80");
    let settings = terminal.settings();
    terminal.wait_for("reading ...");
    terminal.press("q");
    terminal.end(&settings);
}

#[test]
fn a_small_terminal_shows_what_fits() {
    let admin = Admin::start(|_| Some(busy(1)));
    let mut terminal = Terminal::start(&admin, "rows 4 cols 20");
    let settings = terminal.settings();
    terminal.wait_for("Envoy live");
    terminal.press("q");
    terminal.end(&settings);
}
