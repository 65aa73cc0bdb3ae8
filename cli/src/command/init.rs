use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use attachectl::check;
use attachectl::finding::Severity;
use attachectl::init::{Answers, Half, Places, SEAL, bootstrap};
use attachectl::report::Format;
use clap::{Args, ValueEnum};

/// Writes an Envoy bootstrap to start from: the filter, TLS to all servers, metrics, access log, Envoy's own
/// protections.
///
/// What the flags leave open is asked on a terminal. No secret is asked for or written: Envoy takes the client's from a
/// variable of its environment, or from a file (SDS). The file that was written is checked as `attachectl check` does.
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// Verify callers' tokens, add tokens to calls, or both.
    #[arg(value_enum)]
    half: Option<HalfName>,
    /// The issuer's URL, exactly as its tokens have it as `iss`. Its metadata says where keys and token endpoint are.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The audience (`aud`) that names this API in tokens; may be repeated, and one of them is sufficient.
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// A route: `[METHOD,…] PATH [SCOPE… | public]`, such as `GET /orders/{id} orders:read`; `/files/*` is everything
    /// below /files. Without scopes, a valid token is sufficient. May be repeated; the rest is denied.
    #[arg(long, value_name = "ROUTE")]
    route: Vec<String>,
    /// Where the API listens.
    #[arg(long, value_name = "HOST:PORT")]
    upstream: Option<String>,
    /// Where the issuer's keys are, if it has no metadata.
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// Only tokens that say `typ: at+jwt` (RFC 9068), and have the claims that this asks for.
    #[arg(long)]
    at_jwt: bool,
    /// The token endpoint, if its server has no metadata.
    #[arg(long, value_name = "URL")]
    token_endpoint: Option<String>,
    /// The client's id.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// The variable of Envoy's environment that holds the client's secret.
    #[arg(long, value_name = "NAME")]
    secret_env: Option<String>,
    /// The file with the client's credential, which Envoy adds itself (SDS), so that the filter never has it.
    #[arg(long, value_name = "FILE", conflicts_with = "secret_env")]
    secret_sds: Option<String>,
    /// A scope to ask for; may be repeated.
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// The API that is called.
    #[arg(long, value_name = "URL")]
    destination: Option<String>,
    /// Where callers come in.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10000")]
    listen: String,
    /// Where the workload's calls come in.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:10001")]
    listen_outbound: String,
    /// Where Envoy's admin listens.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9901")]
    admin: String,
    /// The module.
    #[arg(long, value_name = "FILE", default_value = "attache.wasm")]
    wasm: String,
    /// The certificates of the system's CAs, where Envoy runs.
    #[arg(long, value_name = "FILE", default_value = "/etc/ssl/certs/ca-certificates.crt")]
    ca_file: String,
    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "envoy.yaml")]
    output: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum HalfName {
    /// Verify the tokens of callers.
    Inbound,
    /// Add tokens to calls.
    Outbound,
    /// Both.
    Both,
}

impl Init {
    pub(super) fn run(self) -> Result<ExitCode> {
        let places = Places {
            file: self.output.display().to_string(),
            listen: self.listen.clone(),
            listen_outbound: self.listen_outbound.clone(),
            admin: self.admin.clone(),
            wasm: self.wasm.clone(),
            ca_file: self.ca_file.clone(),
        };
        if !self.force && self.output.exists() {
            bail!("{} is there already: choose another --output, or --force", places.file);
        }
        let mut answers = self.answers();
        let input = std::io::stdin();
        if input.is_terminal() {
            answers.ask(&mut input.lock(), &mut std::io::stderr())?;
        } else {
            answers.complete()?;
        }
        write(&self.output, &bootstrap(&answers, &places)?, self.force)?;
        let report = check(&[&self.output]);
        let has_failed = report.has_unread || report.count(Severity::Error) > 0;
        if has_failed || report.count(Severity::Warning) > 0 {
            print!("{}", Format::Text.write(&report));
        }
        if has_failed {
            println!("{}: written, and it has the errors above", places.file);
            return Ok(ExitCode::FAILURE);
        }
        println!("{}: written and checked", places.file);
        print!("{}", how_to_start(&answers, &places));
        Ok(ExitCode::SUCCESS)
    }

    fn answers(&self) -> Answers {
        let half = self.half.map(|half| match half {
            HalfName::Inbound => Half::Inbound,
            HalfName::Outbound => Half::Outbound,
            HalfName::Both => Half::Both,
        });
        Answers {
            half,
            issuer: self.issuer.clone(),
            audiences: self.audience.clone(),
            routes: self.route.clone(),
            upstream: self.upstream.clone(),
            jwks_uri: self.jwks_uri.clone(),
            wants_at_jwt: self.at_jwt,
            token_endpoint: self.token_endpoint.clone(),
            client_id: self.client_id.clone(),
            secret_env: self.secret_env.clone(),
            secret_sds: self.secret_sds.clone(),
            scopes: self.scope.clone(),
            destination: self.destination.clone(),
        }
    }
}

/// A file that is there is left alone, also where it has come since.
fn write(path: &Path, text: &str, force: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    if force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    match options.open(path).and_then(|mut file| file.write_all(text.as_bytes())) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{} is there already: choose another --output, or --force", path.display())
        }
        written => written.with_context(|| format!("cannot write {}", path.display())),
    }
}

/// What to set and what to run.
fn how_to_start(answers: &Answers, places: &Places) -> String {
    let half = answers.half.unwrap_or(Half::Inbound);
    let mut lines = vec![String::new(), "Start it:".to_owned()];
    if half.has_outbound() {
        match (&answers.secret_sds, &answers.secret_env) {
            (Some(file), _) => lines.push(format!(
                "    # {} holds `Basic BASE64(ID:SECRET)`: docs/explain.md shows its form",
                file.escape_debug()
            )),
            (None, Some(variable)) => lines.push(format!("    export {variable}=…  # the client's secret")),
            (None, None) => {}
        }
        lines.push(format!("    export {SEAL}=$(openssl rand 32 | basenc --base64url | tr -d =)"));
    }
    let file = shell_quoted(&places.file);
    lines.push(format!("    envoy --config-path {file}"));
    lines.push(String::new());
    lines.push("Try it:".to_owned());
    if half.has_inbound() {
        // Where all routes are public, there is no token to try.
        if let Some((method, path)) = answers.example() {
            let url = shell_quoted(&format!("http://{}{path}", places.listen));
            let path = shell_quoted(&path);
            lines.push(format!("    curl -i -X {method} {url}  # without a token: 401"));
            lines.push(format!("    attachectl explain --config {file} --method {method} --path {path} \\"));
            let files =
                "--token @token.txt --jwks jwks.json  # files with a token, and with the issuer's keys";
            lines.push(format!("      {files}"));
        }
    }
    if half.has_outbound() {
        let host = answers.destination.as_deref().and_then(|url| url.split('/').nth(2)).unwrap_or_default();
        let (header, authority) = (shell_quoted(&format!("host: {host}")), shell_quoted(host));
        let url = shell_quoted(&format!("http://{}/", places.listen_outbound));
        lines.push(format!("    curl -i -H {header} {url}"));
        lines.push(format!(
            "    attachectl explain --outbound --config {file} --cluster destination --authority {authority} --path /"
        ));
    }
    lines.join("\n") + "\n"
}

/// A text as one word of a POSIX shell: as it is where that is safe, else in single quotes.
fn shell_quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}
