//! What a client's token request looks like: everything that is no secret, and a word in place of what is.

use attache::base::{HttpCall, Secret};
use attache::oauth::{Authentication, BasicEncoding};
use attache::outbound::Client;

use super::page::{Page, quoted};
use crate::printing::shown_url;

/// Writes the call that the filter would make. `discovered` is the issuer whose metadata names the endpoint, where that
/// was not given.
pub(super) fn write(page: &mut Page, call: &HttpCall, client: &Client, discovered: Option<&str>) {
    page.heading(&format!("the token request of client {}", client.name));
    let header = |name: &str| {
        let found = call.headers.iter().find(|(header, _)| **header == *name);
        found.map(|(_, value)| text(value)).unwrap_or_default()
    };
    let url = match discovered {
        None => shown_url(&format!("{}://{}{}", header(":scheme"), header(":authority"), header(":path"))),
        Some(issuer) => format!("the token endpoint that the metadata of {} names", quoted(issuer)),
    };
    page.detail(&header(":method"), &url);
    page.detail(
        "cluster",
        &format!("{}, for {} ms at most", quoted(&call.cluster), call.timeout.as_millis()),
    );
    page.detail("authentication", &authentication(client, &call.cluster));
    for (name, value) in form_urlencoded::parse(call.body.expose()) {
        page.detail(&name, &parameter(&name, &value));
    }
    for (name, _) in &client.request.headers {
        page.detail(name, "<as configured> (a header)");
    }
}

/// How the client proves who it is.
fn authentication(client: &Client, cluster: &str) -> String {
    let credentials = &client.request.credentials;
    match &credentials.authentication {
        Authentication::Basic(_, encoding) => {
            let id = quoted(credentials.client_id.as_deref().unwrap_or_default());
            let encoding = match encoding {
                BasicEncoding::Form => "form-encoded",
                BasicEncoding::None => "as they are",
            };
            format!("client_secret_basic, {encoding}: client_id {id} and <the secret>")
        }
        Authentication::Post(_) => "client_secret_post".to_owned(),
        Authentication::PrivateKeyJwt(_) => "private_key_jwt".to_owned(),
        Authentication::TlsClientAuth => {
            format!("tls_client_auth: the certificate of cluster {}", quoted(cluster))
        }
        Authentication::SetByCluster => {
            format!(
                "set_by_cluster: a filter of cluster {} adds it, and this one never sees it",
                quoted(cluster)
            )
        }
    }
    .to_owned()
        + &assertion(client).unwrap_or_default()
}

/// What the assertion says.
fn assertion(client: &Client) -> Option<String> {
    let Authentication::PrivateKeyJwt(assertion) = &client.request.credentials.authentication else {
        return None;
    };
    let kid = assertion.kid.as_deref().map_or("none".to_owned(), quoted);
    let (audience, lifetime) = (quoted(&assertion.audience), assertion.lifetime.as_secs());
    Some(format!(": alg {}, kid {kid}, aud {audience}, for {lifetime} s", assertion.algorithm))
}

/// Only what these names hold is no secret, whatever a configuration writes into the form.
fn parameter(name: &str, value: &str) -> String {
    match name {
        "grant_type"
        | "scope"
        | "audience"
        | "resource"
        | "client_id"
        | "client_assertion_type"
        | "subject_token_type"
        | "requested_token_type" => quoted(value),
        "client_secret" => "<the secret>".to_owned(),
        "client_assertion" => "<the signed assertion>".to_owned(),
        "subject_token" => "<the caller's token>".to_owned(),
        _ => "<as configured>".to_owned(),
    }
}

fn text(value: &Secret) -> String {
    String::from_utf8_lossy(value.expose()).into_owned()
}
