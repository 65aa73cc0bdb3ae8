//! Keycloak as issuer for both halves, step by step as docs/keycloak.md tells it: each row is a promise of that page.

mod guide;
mod outbound;
mod proxy;
mod rotation;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use attache_harness::envoy::Envoy;
use attache_harness::http::{Request, Response};
use attache_harness::upstream::Upstream;
use attache_harness::wait::wait_for;
use serde_json::{Value, json};

use self::guide::Guide;
use self::proxy::{Proxy, plain_cluster, renamed, through};
use crate::keycloak::{CLIENT, Keycloak};
use crate::program::run;
use crate::report::{Place, Report};
use crate::world::World;

/// What the rows share.
struct Setting<'w> {
    world: &'w World,
    keycloak: &'w Keycloak,
    guide: Guide<'w>,
    /// The secret of the page's client.
    secret: String,
    /// The cluster of the page.
    cluster: Value,
    service: Upstream,
}

pub(crate) fn rows(world: &World, report: &mut Report) -> Result<()> {
    let keycloak = world.keycloak()?;
    let guide = Guide::read(keycloak)?;
    let cluster = guide.yaml("TLS to Keycloak")?.remove(0);
    guide.run("Prepare the realm")?;
    let secret = guide.value("ORDERS_SECRET")?;
    let setting = Setting { world, keycloak, guide, secret, cluster, service: Upstream::start()? };
    let inbound = setting.inbound()?;

    as_it_comes(&setting, &inbound, report)?;
    prepared(&setting, &inbound, report)?;
    // Nothing changes Keycloak's metadata from here on.
    let (start, before) = (Instant::now(), asked(&inbound)?);
    roles(&setting, &inbound, report)?;
    untrusted(&setting, report)?;
    outbound::rows(&setting, report)?;
    let got = asked(&inbound).and_then(|asked| how_often(asked - before, start.elapsed()));
    report.row(
        INBOUND,
        "Keycloak forbids caching: how often it is asked",
        0,
        "as rarely as the page says",
        got,
    );
    // This changes the keys.
    rotation::rows(&setting, report)?;
    let got = forbids_caching(&setting);
    report.row(
        INBOUND,
        "what Keycloak says of caching its keys and its metadata",
        0,
        "no-cache, no-store",
        got,
    );
    let got = setting.guide.requests_in(13).and_then(as_the_page_says);
    report.row(INBOUND, "the page's table of requests", 0, "as the schedule of docs/keys.md", got);
    let got = setting.guide.is_used_up().map(|()| "all".to_owned());
    report.row(INBOUND, "commands and configurations of docs/keycloak.md that ran", 0, "all", got);
    let got = tells_no_secret(&inbound, &setting);
    report.row(INBOUND, "what the log tells of tokens and secrets", 0, "nothing", got);
    Ok(())
}

impl Setting<'_> {
    /// The page's documents for inbound requests, each at a listener; one is the API behind TLS as well.
    fn inbound(&self) -> Result<Envoy> {
        let documents = self.guide.yaml("Inbound requests")?;
        let [discovery, jwks] = documents.as_slice() else { bail!("two documents for inbound requests") };
        let roles = self.guide.yaml("Roles")?.remove(0);
        // The requests of its first document are counted, those of the others are not among them.
        Proxy::new(self.world)
            .api(discovery, "service")
            .listener("discovery", discovery, "service")
            .listener("jwks", &through(jwks, "keycloak-other")?, "service")
            .listener("untyped", &untyped(&through(jwks, "keycloak-other")?)?, "service")
            .listener("roles", &through(&roles, "keycloak-other")?, "service")
            .cluster(self.cluster.clone())
            .cluster(renamed(&self.cluster, "keycloak-other"))
            .cluster(plain_cluster("service", self.service.addr()))
            .start(&[])
    }

    /// A new token of the page's client.
    fn token(&self, scope: &str) -> Result<String> {
        text(&self.keycloak.ask("shop", CLIENT, &self.secret, scope)?, "access_token")
    }

    /// A new ID token of the page's client.
    fn id_token(&self) -> Result<String> {
        text(&self.keycloak.ask("shop", CLIENT, &self.secret, "openid orders:read")?, "id_token")
    }

    /// A new token of the user of `USER`.
    fn user_token(&self) -> Result<String> {
        let user = [("username", "ada"), ("password", "ada-password")];
        let grant = [&[("grant_type", "password"), ("scope", "orders:read")][..], &user].concat();
        text(&self.keycloak.grant("shop", CLIENT, &self.secret, &grant)?, "access_token")
    }
}

/// A token of a realm that has not been prepared.
fn as_it_comes(setting: &Setting, inbound: &Envoy, report: &mut Report) -> Result<()> {
    let token = setting.token("profile")?;
    let got = read_orders(inbound, "untyped", Some(&token));
    report.row(INBOUND, "a realm as it comes, no type", 1, "401, the token is for another audience", got);
    let got = read_orders(inbound, "jwks", Some(&token));
    report.row(INBOUND, "a realm as it comes, type: at+jwt", 1, "401, the token is not of type at+jwt", got);
    Ok(())
}

/// Audience and scopes, first without the switch that makes the type `at+jwt`.
fn prepared(setting: &Setting, inbound: &Envoy, report: &mut Report) -> Result<()> {
    setting.guide.run("The audience")?;
    setting.guide.run("Scopes")?;
    let token = setting.token("orders:read")?;
    let got = read_orders(inbound, "discovery", Some(&token));
    report.row(
        INBOUND,
        "type: at+jwt, without Keycloak's switch",
        1,
        "401, the token is not of type at+jwt",
        got,
    );
    let got = read_orders(inbound, "untyped", Some(&token));
    report.row(INBOUND, "no type, without Keycloak's switch", 1, "200", got);
    let got = setting.id_token().and_then(|token| read_orders(inbound, "untyped", Some(&token)));
    report.row(INBOUND, "no type: an ID token", 1, "401, the token is for another audience", got);

    let [switch, mapper] = setting.guide.commands("The type")?[..] else { bail!("a switch and a mapper") };
    setting.guide.shell(switch)?;
    setting.guide.shell(USER)?;
    let got = setting.user_token().and_then(|token| read_orders(inbound, "discovery", Some(&token)));
    report.row(
        INBOUND,
        "a user's token, with the switch alone",
        1,
        "401, the claim `client_id` is missing",
        got,
    );
    setting.guide.shell(mapper)?;
    let got = setting.user_token().and_then(|token| read_orders(inbound, "discovery", Some(&token)));
    report.row(INBOUND, "a user's token, with the switch and the mapper", 1, "200", got);
    let token = setting.token("orders:read")?;
    for listener in ["discovery", "jwks"] {
        let scenario = format!("keys by `{listener}`: a token with the scope");
        report.row(INBOUND, &scenario, 1, "200", read_orders(inbound, listener, Some(&token)));
    }
    let narrow = setting.token("profile")?;
    let got = read_orders(inbound, "discovery", Some(&narrow));
    report.row(INBOUND, "a token without the scope", 1, "403, the token lacks a scope", got);
    let got = read_orders(inbound, "discovery", None);
    report.row(INBOUND, "no token", 1, "401", got);
    let other = setting.keycloak.token("orders:read")?;
    let got = read_orders(inbound, "discovery", Some(&other));
    report.row(INBOUND, "another realm's token", 1, "401, the token's issuer is unknown", got);
    Ok(())
}

/// Roles in place of scopes.
fn roles(setting: &Setting, inbound: &Envoy, report: &mut Report) -> Result<()> {
    let url = inbound.url("roles")?;
    let both = |token: &str| -> Result<String> {
        let read = patient(&Request::get(format!("{url}/orders")).bearer(token))?.status;
        let write = patient(&Request::post(format!("{url}/orders")).bearer(token))?.status;
        Ok(format!("{read} {write}"))
    };
    // Its audience is missing as well: Keycloak derives it from the role.
    let got = setting.token("orders:read").and_then(|token| both(&token));
    report.row(INBOUND, "realm role and client role: a client without", 2, "401 401", got);
    setting.guide.run("Roles")?;
    let token = setting.token("orders:read")?;
    report.row(INBOUND, "realm role and client role: a client with both", 2, "200 200", both(&token));
    setting.guide.shell(
        "kcadm.sh remove-roles -r shop --uusername service-account-orders-service --rolename order-reader",
    )?;
    let token = setting.token("orders:read")?;
    report.row(INBOUND, "realm role and client role: without the realm role", 2, "403 200", both(&token));
    Ok(())
}

/// A cluster that trusts another certification authority.
fn untrusted(setting: &Setting, report: &mut Report) -> Result<()> {
    let mut cluster = setting.cluster.clone();
    let place = "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca/filename";
    let trusted = cluster.pointer_mut(place).context("the page's cluster trusts a file")?;
    let other = setting.world.directory("untrusted")?.join("ca.crt");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-subj", "/CN=another authority", "-keyout", "/dev/null", "-out"]);
    run(command.arg(&other))?;
    *trusted = json!(other);
    let document = setting.guide.yaml("Inbound requests")?.remove(0);
    let service = plain_cluster("service", setting.service.addr());
    let proxy = Proxy::new(setting.world).listener("discovery", &document, "service");
    let envoy = proxy.cluster(cluster).cluster(service).start(&[])?;
    let token = setting.token("orders:read")?;
    let request = Request::get(format!("{}/orders", envoy.url("discovery")?)).bearer(&token);
    let got = request.timeout(PATIENCE).send().and_then(|answer| {
        let status = status_and_reason(&answer);
        let reason = "reason=.=keys_unavailable;";
        let is_told = envoy.stats()?.iter().any(|(name, value)| name.contains(reason) && *value > 0);
        Ok(if is_told { format!("{status} keys_unavailable") } else { status })
    });
    report.row(INBOUND, "Keycloak's certificate is not trusted", 1, "503 keys_unavailable", got);
    Ok(())
}

/// Keycloak's word for the keys, and for the metadata.
fn forbids_caching(setting: &Setting) -> Result<String> {
    let mut words = Vec::new();
    for (path, word) in
        [("protocol/openid-connect/certs", "no-cache"), (".well-known/openid-configuration", "no-store")]
    {
        let answer = setting.keycloak.get(&format!("realms/shop/{path}"))?;
        let said =
            answer.headers.iter().find(|(name, _)| name == "cache-control").map(|(_, value)| value.as_str());
        let said = said.unwrap_or("nothing");
        words.push(if said.contains(word) { word } else { said }.to_owned());
    }
    Ok(words.join(", "))
}

/// How often the first document's keys and metadata have been fetched.
fn asked(inbound: &Envoy) -> Result<u64> {
    inbound.stat("cluster.keycloak.upstream_rq_total")
}

/// Holds a number of fetches of two documents against the schedule.
fn how_often(requests: u64, time: Duration) -> Result<String> {
    println!("mesh: Keycloak was asked {requests} times in {time:?}");
    // A fetch of each may fail and be repeated.
    let most = 2 * scheduled(time) + 2;
    if requests > most {
        bail!("{requests} requests in {time:?}, not {most} at most");
    }
    Ok("as rarely as the page says".into())
}

/// Holds the page's number of requests in 13 minutes against the schedule.
fn as_the_page_says(requests: u64) -> Result<String> {
    let scheduled = scheduled(Duration::from_secs(13 * 60));
    if requests != scheduled {
        bail!("the page says {requests} requests in 13 minutes, the schedule has {scheduled}");
    }
    Ok("as the schedule of docs/keys.md".into())
}

/// How often a document that does not change is fetched at most, by docs/keys.md: after a fetch that may come at once,
/// the lifetime begins with 30 s and doubles, and a fetch is at four fifths of it at the earliest.
fn scheduled(time: Duration) -> u64 {
    let (mut fetches, mut at, mut lifetime) = (1, Duration::ZERO, Duration::from_secs(30));
    loop {
        at += lifetime * 4 / 5;
        if at > time {
            return fetches;
        }
        fetches += 1;
        lifetime = (lifetime * 2).min(Duration::from_secs(600));
    }
}

/// Looks for what must not be in a log: secrets, parts of tokens, and whom they are about.
fn tells_no_secret(envoy: &Envoy, setting: &Setting) -> Result<String> {
    let log = envoy.logs();
    let subject = outbound::claim(&setting.token("orders:read")?, "sub")?;
    // Each token's header and claims begin so.
    for secret in ["eyJ", &subject, &setting.secret, "ada-password"] {
        if let Some(at) = log.find(secret) {
            bail!("{}", log[..at + secret.len()].lines().last().unwrap_or_default());
        }
    }
    Ok("nothing".into())
}

fn read_orders(envoy: &Envoy, listener: &str, token: Option<&str>) -> Result<String> {
    let request = Request::get(format!("{}/orders", envoy.url(listener)?));
    let request = token.map_or(request.clone(), |token| request.bearer(token));
    Ok(status_and_reason(&patient(&request)?))
}

/// Sends a request until the answer is another than 503: on a busy machine, a Keycloak that has just started may take
/// longer for keys and tokens than requests wait for them.
fn patient(request: &Request) -> Result<Response> {
    let start = Instant::now();
    wait_for("an answer", 2 * PATIENCE, || {
        let answer = request.clone().timeout(PATIENCE).send()?;
        Ok((answer.status != 503 || start.elapsed() > PATIENCE).then_some(answer))
    })
}

/// A document without the type that tokens must have.
fn untyped(document: &Value) -> Result<Value> {
    let mut document = document.clone();
    let issuer = document.pointer_mut("/inbound/issuers/0").and_then(Value::as_object_mut);
    issuer.and_then(|issuer| issuer.remove("type")).context("the page's document has a type")?;
    Ok(document)
}

/// The status, and the challenge's words.
fn status_and_reason(response: &Response) -> String {
    let challenge = response.headers.iter().find(|(name, _)| name == "www-authenticate");
    let words =
        challenge.and_then(|(_, value)| value.split_once("error_description=\"")?.1.split('"').next());
    words.map_or(response.status.to_string(), |words| format!("{}, {words}", response.status))
}

fn text(answer: &Value, member: &str) -> Result<String> {
    let text = answer.get(member).and_then(Value::as_str);
    Ok(text.with_context(|| format!("Keycloak's answer has no {member}: {}", answer["error"]))?.to_owned())
}

/// A user who logs in by name and password.
const USER: &str = r#"
kcadm.sh create users -r shop -s username=ada -s enabled=true -s emailVerified=true -s email=ada@orders.example \
    -s firstName=Ada -s lastName=King -s 'credentials=[{"type":"password","value":"ada-password"}]'
kcadm.sh update clients/$CLIENT -r shop -s directAccessGrantsEnabled=true
"#;
const INBOUND: Place = Place { control_plane: "none", position: "inbound" };
const PATIENCE: Duration = Duration::from_secs(60);
