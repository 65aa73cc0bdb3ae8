//! The bootstrap itself, from templates.

use core::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::answers::{Answers, Half, address, check_variable, host_of};
use super::route::{RouteLine, lines};
use super::template::{fill, list, quoted};

/// Where things are on the machine that Envoy runs on.
#[derive(Clone, Debug)]
pub struct Places {
    /// What the file will be called.
    pub file: String,
    /// Where requests that come in arrive, `HOST:PORT`.
    pub listen: String,
    /// Where requests that go out arrive.
    pub listen_outbound: String,
    /// Where Envoy's admin listens.
    pub admin: String,
    /// The module.
    pub wasm: String,
    /// The certificates that servers are verified with.
    pub ca_file: String,
}

/// Writes the bootstrap. The answers are complete.
///
/// # Errors
/// An answer is not what it has to be.
pub fn bootstrap(answers: &Answers, places: &Places) -> Result<String> {
    let half = answers.half.context("which half is not known")?;
    let mut clusters = Clusters { places, all: Vec::new() };
    let mut listeners = String::new();
    if half.has_inbound() {
        listeners += &inbound(answers, places, &mut clusters)?;
    }
    let mut own = String::new();
    if half.has_outbound() {
        let (listener, destination) = outbound(answers, places, &mut clusters)?;
        listeners += &listener;
        own += &destination;
    }
    let upstream = answers.upstream.as_deref().filter(|_| half.has_inbound());
    let upstream = upstream.map(address).transpose()?;
    let (admin_host, admin_port) = address(&places.admin)?;
    let head = fill(
        include_str!("template/head.yaml"),
        &[
            ("file", &quoted(&places.file)),
            ("about", &about(half, answers, places)),
            ("admin_host", &quoted(&admin_host)),
            ("admin_port", &admin_port.to_string()),
        ],
    );
    let api = upstream.map(|(host, port)| {
        let values = [("host", quoted(&host)), ("port", port.to_string())];
        fill(
            include_str!("template/api.yaml"),
            &values.each_ref().map(|(name, value)| (*name, value.as_str())),
        )
    });
    Ok([head, listeners, "  clusters:\n".to_owned(), api.unwrap_or_default(), clusters.text(), own].concat())
}

/// What goes where, in comments.
fn about(half: Half, answers: &Answers, places: &Places) -> String {
    let mut text = String::from("#\n");
    if half.has_inbound() {
        let upstream = answers.upstream.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "#   callers → {} → attache verifies their tokens → the API, {upstream}",
            places.listen
        );
    }
    if half.has_outbound() {
        let destination = answers.destination.as_deref().unwrap_or_default();
        let _ = writeln!(
            text,
            "#   the workload → {} → attache adds a token → {destination}",
            places.listen_outbound
        );
    }
    text.trim_end().to_owned()
}

/// The clusters of servers, each once.
struct Clusters<'a> {
    places: &'a Places,
    all: Vec<Cluster>,
}

struct Cluster {
    name: String,
    host: String,
    port: u16,
    more: String,
}

impl Clusters<'_> {
    /// The name of the cluster that leads to the host of this URL; a new one where there is none.
    fn of(&mut self, name: &str, url: &str) -> Result<String> {
        let (host, port) = host_of(url)?;
        let known = self.all.iter().find(|one| one.host == host && one.port == port && one.more.is_empty());
        if let Some(known) = known {
            return Ok(known.name.clone());
        }
        self.add(name, url, String::new())
    }

    /// A cluster of its own.
    fn add(&mut self, name: &str, url: &str, more: String) -> Result<String> {
        let (host, port) = host_of(url)?;
        self.all.push(Cluster { name: name.to_owned(), host, port, more });
        Ok(name.to_owned())
    }

    fn text(&self) -> String {
        let one = |cluster: &Cluster| {
            let tls = tls(&cluster.name, &cluster.host, cluster.port, self.places);
            format!("{tls}{}", cluster.more)
        };
        self.all.iter().map(one).collect()
    }
}

fn tls(name: &str, host: &str, port: u16, places: &Places) -> String {
    fill(
        include_str!("template/tls.yaml"),
        &[
            ("name", name),
            ("host", &quoted(host)),
            ("port", &port.to_string()),
            ("ca_file", &quoted(&places.ca_file)),
        ],
    )
}

fn inbound(answers: &Answers, places: &Places, clusters: &mut Clusters<'_>) -> Result<String> {
    let issuer = answers.issuer.as_deref().context("--issuer is missing")?;
    let keys = match &answers.jwks_uri {
        None => format!("{{ discovery: {{ cluster: {} }} }}", clusters.of("issuer", issuer)?),
        Some(uri) => {
            let is_issuers = host_of(uri)? == host_of(issuer)?;
            let cluster = clusters.of(if is_issuers { "issuer" } else { "keys" }, uri)?;
            format!("{{ jwks: {{ uri: {}, cluster: {cluster} }} }}", quoted(uri))
        }
    };
    let routes: Vec<RouteLine> =
        answers.routes.iter().map(|text| RouteLine::parse(text)).collect::<Result<_>>()?;
    let routes: String =
        lines(&routes, &quoted).iter().map(|line| format!("{}{line}\n", " ".repeat(22))).collect();
    let half = answers.half.unwrap_or(Half::Inbound);
    let sharing = if half.has_outbound() {
        format!("{}sharing: {{ process: {{ sealing_secret: {{ env: {SEAL} }} }} }}\n", " ".repeat(20))
    } else {
        String::new()
    };
    let (host, port) = address(&places.listen)?;
    Ok(fill(
        include_str!("template/inbound.yaml"),
        &[
            ("host", &quoted(&host)),
            ("port", &port.to_string()),
            ("environment", &environment(answers, 18)),
            ("sharing", &sharing),
            ("keys", &keys),
            ("type", if answers.wants_at_jwt { "at+jwt" } else { "any" }),
            ("wasm", &quoted(&places.wasm)),
            ("issuer", &quoted(issuer)),
            ("audiences", &list(&answers.audiences)),
            ("routes", &routes),
        ],
    ))
}

/// The listener, and the cluster that it leads to.
fn outbound(answers: &Answers, places: &Places, clusters: &mut Clusters<'_>) -> Result<(String, String)> {
    let destination = answers.destination.as_deref().context("--destination is missing")?;
    let (to, to_port) = host_of(destination)?;
    let client_id = answers.client_id.as_deref().context("--client-id is missing")?;
    let credential = answers
        .secret_sds
        .as_ref()
        .map(|file| fill(include_str!("template/credential.yaml"), &[("secret_sds", &quoted(file))]));
    let endpoint = match (&answers.token_endpoint, &answers.issuer, credential) {
        (Some(uri), _, Some(credential)) => {
            let cluster = clusters.add("token-endpoint", uri, credential)?;
            format!("token_endpoint: {{ uri: {}, cluster: {cluster} }}", quoted(uri))
        }
        (Some(uri), _, None) => {
            let cluster = clusters.of("token-endpoint", uri)?;
            format!("token_endpoint: {{ uri: {}, cluster: {cluster} }}", quoted(uri))
        }
        (None, Some(issuer), Some(credential)) => {
            let cluster = clusters.of("issuer", issuer)?;
            let tokens = clusters.add("token-endpoint", issuer, credential)?;
            let issuer = quoted(issuer);
            format!("discovery: {{ issuer: {issuer}, cluster: {cluster}, token_cluster: {tokens} }}")
        }
        (None, Some(issuer), None) => {
            let cluster = clusters.of("issuer", issuer)?;
            format!("discovery: {{ issuer: {}, cluster: {cluster} }}", quoted(issuer))
        }
        (None, None, _) => bail!("--issuer or --token-endpoint is missing"),
    };
    let authentication = match (&answers.secret_sds, &answers.secret_env) {
        (Some(_), _) => "{ set_by_cluster: {} }".to_owned(),
        (None, Some(variable)) => {
            check_variable(variable)?;
            format!("{{ client_secret_basic: {{ secret: {{ env: {} }} }} }}", quoted(variable))
        }
        (None, None) => bail!("--secret-env or --secret-sds is missing"),
    };
    let indent = " ".repeat(22);
    let scopes = if answers.scopes.is_empty() {
        String::new()
    } else {
        format!("{indent}scopes: [{}]\n", list(&answers.scopes))
    };
    let (host, port) = address(&places.listen_outbound)?;
    let listener = fill(
        include_str!("template/outbound.yaml"),
        &[
            ("listen", &places.listen_outbound),
            ("host", &quoted(&host)),
            ("port", &port.to_string()),
            ("destination", &quoted(&to)),
            ("destination_with_port", &quoted(&format!("{to}:*"))),
        ],
    );
    let filter = fill(
        include_str!("template/destination.yaml"),
        &[
            ("environment", &environment(answers, 16)),
            ("endpoint", &format!("{indent}{endpoint}\n")),
            ("scopes", &scopes),
            ("authentication", &authentication),
            ("wasm", &quoted(&places.wasm)),
            ("destination", &quoted(&to)),
            ("client_id", &quoted(client_id)),
        ],
    );
    Ok((listener, tls("destination", &to, to_port, places) + &filter))
}

/// The variables that the VM gets: the same for both filters, since they share it.
fn environment(answers: &Answers, indent: usize) -> String {
    if !answers.half.is_some_and(Half::has_outbound) {
        return String::new();
    }
    let secret = answers.secret_env.iter().filter(|_| answers.secret_sds.is_none()).cloned();
    let keys: Vec<String> = secret.chain([SEAL.to_owned()]).collect();
    format!("{}environment_variables: {{ host_env_keys: [{}] }}\n", " ".repeat(indent), list(&keys))
}

/// The variable with the key that seals what the workers share.
pub const SEAL: &str = "ATTACHE_SEAL";
