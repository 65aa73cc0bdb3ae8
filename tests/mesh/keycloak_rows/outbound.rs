//! The filter as Keycloak's client, by each authentication, and as the one that exchanges callers' tokens. The API at
//! the other end is the page's own, which verifies the tokens.

use anyhow::{Context, Result, bail};
use attache_harness::envoy::Envoy;
use attache_harness::http::Request;
use attache_harness::upstream::Echo;
use attache_harness::wait::wait_for;
use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use super::proxy::{Proxy, api_cluster};
use super::{PATIENCE, Setting, patient, status_and_reason, text};
use crate::keycloak::{BUILD_OPTIONS, CLIENT};
use crate::report::{Place, Report};

pub(super) fn rows(setting: &Setting, report: &mut Report) -> Result<()> {
    by_secret(setting, report)?;
    by_assertion(setting, report)?;
    by_certificate(setting, report)?;
    exchange(setting, report)
}

fn by_secret(setting: &Setting, report: &mut Report) -> Result<()> {
    let basic = setting.guide.yaml("Outbound requests")?.remove(0);
    let mut post = basic.clone();
    post["outbound"]["clients"][0]["authentication"] =
        json!({ "client_secret_post": { "secret": { "env": "ORDERS_SECRET" } } });
    let proxy = || proxy(setting, &setting.cluster, &[("basic", &basic), ("post", &post)]);
    let envoy = proxy()?.start(&[("ORDERS_SECRET", &setting.secret), SEAL])?;
    for name in ["basic", "post"] {
        let scenario = format!("client_secret_{name}: a call without a token");
        report.row(OUTBOUND, &scenario, 1, "200, orders-service", called_by(setting, &envoy, name));
    }
    let got = dump(&envoy, "ORDERS_SECRET", &setting.secret);
    report.row(OUTBOUND, "client's secret and seal in the configuration dump", 0, DUMPED, got);
    let envoy = proxy()?.start(&[("ORDERS_SECRET", "wrong"), SEAL])?;
    let got = refused(&envoy, "basic", "unauthorized_client");
    report.row(OUTBOUND, "a wrong secret", 1, "503, and the log says `unauthorized_client`", got);
    Ok(())
}

fn by_assertion(setting: &Setting, report: &mut Report) -> Result<()> {
    // The page's own lines make the key that they give to Keycloak.
    setting.guide.run(ASSERTION)?;
    let key = std::fs::read_to_string(setting.keycloak.directory().join("orders-service.key"))?;
    let document = setting.guide.yaml(ASSERTION)?.remove(0);
    let proxy = proxy(setting, &setting.cluster, &[("assertion", &document)])?;
    let envoy = proxy.start(&[("ORDERS_KEY", key.as_str()), SEAL])?;
    let got = called_by(setting, &envoy, "assertion");
    report.row(OUTBOUND, "private_key_jwt: a call without a token", 1, "200, orders-service", got);
    let line = key.lines().nth(1).context("a key in PEM")?;
    let got = dump(&envoy, "ORDERS_KEY", line);
    report.row(OUTBOUND, "client's key and seal in the configuration dump", 0, DUMPED, got);
    Ok(())
}

fn by_certificate(setting: &Setting, report: &mut Report) -> Result<()> {
    let asked = setting.guide.start_options(CERTIFICATE)?;
    for option in asked {
        let is_set = BUILD_OPTIONS.contains(&option) || option.starts_with("--truststore-paths=");
        if !is_set {
            bail!("docs/keycloak.md starts Keycloak with {option}, these tests do not");
        }
    }
    // The page's authority. Keycloak trusts it already.
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(setting.world.certificate(file), setting.keycloak.directory().join(file))?;
    }
    let commands = setting.guide.commands(CERTIFICATE)?;
    commands.into_iter().filter(|text| !text.starts_with("kc.sh")).try_for_each(|text| {
        setting.guide.shell(text)?;
        anyhow::Ok(())
    })?;
    let blocks = setting.guide.yaml(CERTIFICATE)?;
    let [certificate, document] = blocks.as_slice() else { bail!("a certificate and a document") };
    let directory = format!("{}/", setting.keycloak.directory().display());
    let text = certificate.to_string().replace("orders-service.", &format!("{directory}orders-service."));
    let certificate: Value = serde_json::from_str(&text)?;
    let mut cluster = setting.cluster.clone();
    let context = cluster.pointer_mut("/transport_socket/typed_config/common_tls_context").context("TLS")?;
    context["tls_certificates"] = certificate["tls_certificates"].clone();

    let envoy = proxy(setting, &cluster, &[("certificate", document)])?.start(&[SEAL])?;
    let got = called_by(setting, &envoy, "certificate");
    report.row(OUTBOUND, "tls_client_auth: a call without a token", 1, "200, orders-service", got);
    let envoy = proxy(setting, &setting.cluster, &[("certificate", document)])?.start(&[SEAL])?;
    let got = refused(&envoy, "certificate", "invalid_client");
    report.row(
        OUTBOUND,
        "tls_client_auth, a cluster without certificate",
        1,
        "503, and the log says `invalid_client`",
        got,
    );
    Ok(())
}

fn exchange(setting: &Setting, report: &mut Report) -> Result<()> {
    setting.guide.run(EXCHANGE)?;
    let document = setting.guide.yaml(EXCHANGE)?.remove(0);
    let proxy = proxy(setting, &setting.cluster, &[("exchange", &document)])?;
    let envoy = proxy.start(&[("ORDERS_SECRET", &setting.secret), SEAL])?;
    let read = "kcadm.sh get clients/$WEB/client-secret -r shop --fields value --format csv --noquotes";
    let web_secret = setting.guide.shell(read)?;
    let caller = text(&setting.keycloak.ask("shop", "web", web_secret.trim(), "profile")?, "access_token")?;
    let got = || -> Result<String> {
        let answer = patient(&to_orders(&envoy, "exchange")?.bearer(&caller))?;
        let Ok(echo) = Echo::parse(&answer.body) else { return Ok(answer.status.to_string()) };
        let sent = echo.bearer().context("no token came to the API")?;
        let same = claim(sent, "sub")? == claim(&caller, "sub")? && sent != caller;
        let subject = if same { "the caller's sub" } else { "another sub" };
        Ok(format!("{}, {}, {subject}", answer.status, claim(sent, "client_id")?))
    };
    report.row(
        OUTBOUND,
        "token exchange: a call with a caller's token",
        1,
        "200, orders-service, the caller's sub",
        got(),
    );
    let got = to_orders(&envoy, "exchange").and_then(|request| Ok(patient(&request)?.status.to_string()));
    report.row(OUTBOUND, "token exchange: a call without a token", 1, "401", got);
    let id_token = setting.id_token()?;
    let got = to_orders(&envoy, "exchange")
        .and_then(|request| Ok(status_and_reason(&patient(&request.bearer(&id_token))?)));
    report.row(
        OUTBOUND,
        "token exchange: an ID token of orders-service",
        1,
        "401, the token is not of type at+jwt",
        got,
    );
    Ok(())
}

/// An Envoy with these documents, each at a listener of its name, in front of the API.
fn proxy<'w>(setting: &Setting<'w>, keycloak: &Value, documents: &[(&str, &Value)]) -> Result<Proxy<'w>> {
    let proxy = Proxy::new(setting.world).cluster(keycloak.clone()).cluster(api_cluster(&setting.cluster)?);
    Ok(documents.iter().fold(proxy, |proxy, (name, document)| proxy.listener(name, document, "orders")))
}

fn to_orders(envoy: &Envoy, listener: &str) -> Result<Request> {
    Ok(Request::get(format!("{}/orders", envoy.url(listener)?)).header("host", "orders.example"))
}

/// Calls the API without a token until the log tells that Keycloak has refused one to this client.
fn refused(envoy: &Envoy, listener: &str, error: &str) -> Result<String> {
    let refused = wait_for("the log to tell why", PATIENCE, || {
        let answer = to_orders(envoy, listener)?.timeout(PATIENCE).send()?.status;
        let is_told = envoy.logs().contains(&format!("the server says `{error}`"));
        Ok(is_told.then(|| format!("{answer}, and the log says `{error}`")))
    });
    refused.with_context(|| envoy.logs())
}

/// Calls the API without a token: which client's token came there?
fn called_by(setting: &Setting, envoy: &Envoy, listener: &str) -> Result<String> {
    let answer = patient(&to_orders(envoy, listener)?)?;
    let Ok(echo) = Echo::parse(&answer.body) else {
        bail!("{}: {}\n{}", answer.status, String::from_utf8_lossy(&answer.body), envoy.logs());
    };
    let token = echo.bearer().context("no token came to the API")?;
    if envoy.logs().contains(token) || envoy.logs().contains(&setting.secret) {
        bail!("the log contains the token or the secret");
    }
    Ok(format!("{}, {}", answer.status, claim(token, "client_id")?))
}

/// Looks for a client's secret and for the seal in Envoy's configuration dump, as they are and in base64.
fn dump(envoy: &Envoy, variable: &str, secret: &str) -> Result<String> {
    let dump = envoy.admin_get("/config_dump")?.text();
    if ![variable, SEAL.0].iter().all(|name| dump.contains(name)) {
        bail!("the dump does not name the variables");
    }
    let credentials = format!("{CLIENT}:{secret}");
    let encoded = [secret, SEAL.1, &credentials].map(|text| Base64::encode_string(text.as_bytes()));
    let shown = [secret, SEAL.1].into_iter().chain(encoded.iter().map(String::as_str));
    let shown = shown.filter(|text| dump.contains(text.trim_end_matches('='))).count();
    Ok(if shown == 0 { DUMPED.to_owned() } else { format!("{shown} of them are there") })
}

pub(super) fn claim(token: &str, name: &str) -> Result<String> {
    let claims = token.split('.').nth(1).context("a token with claims")?;
    let claims: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).unwrap_or_default())?;
    text(&claims, name)
}

const OUTBOUND: Place = Place { control_plane: "none", position: "outbound" };
/// Of a seal, 32 bytes.
const SEAL: (&str, &str) = ("ATTACHE_SEAL", "ZGVtby1kZW1vLWRlbW8tZGVtby1kZW1vLWRlbW8tMTI");
const DUMPED: &str = "the variables' names alone";
const ASSERTION: &str = "A signed assertion: `private_key_jwt`";
const CERTIFICATE: &str = "A certificate: mutual TLS";
const EXCHANGE: &str = "Token exchange";
