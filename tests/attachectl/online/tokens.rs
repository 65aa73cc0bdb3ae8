//! Tokens of clients.

use attache_harness::issuer::{
    Algorithm, Client, DEMO_AUDIENCE, DEMO_CLIENT, Endpoint, Fault, IssuerOptions, KeyPair, RawAnswer,
    TokenFormat,
};
use base64ct::{Base64, Encoding as _};
use serde_json::json;

use super::proxy::ConnectProxy;
use super::{
    SECRET, at, block, check, check_as, client, discovery, has, inbound, issuer, issuer_with, outbound,
    secret, token_endpoint,
};

#[test]
fn each_client_asks_once_and_a_document_that_several_name_is_fetched_once() {
    let issuer = issuer();
    let found =
        || ("discovery", json!({ "issuer": issuer.identifier(), "cluster": "idp", "tls": "optional" }));
    let post = json!({ "client_secret_post": { "secret": { "env": "ONLINE_SECRET" } } });
    let config = json!({
        "inbound": inbound(issuer.identifier(), discovery()),
        "outbound": outbound(vec![client("one", found(), secret()), client("two", found(), post)]),
    });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    assert!(block(&run, "metadata for client two").contains("asked once, further up"));
    assert_eq!((issuer.token_requests(), issuer.metadata_requests()), (2, 1));
}

#[test]
fn a_wrong_secret_is_told_in_the_words_of_the_server_and_not_shown() {
    let issuer = issuer();
    let config = json!({ "outbound": outbound(vec![client("orders", at(&issuer), secret())]) });
    let run = check_as("not-the-secret-of-it", &config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["✗ the server says `invalid_client`: ", "[online-token]", "at outbound.clients[0]"]);
    assert_eq!(issuer.token_requests(), 1);
}

#[test]
fn what_a_server_says_back_is_not_shown() {
    let issuer = issuer();
    let config = json!({ "outbound": outbound(vec![client("orders", at(&issuer), secret())]) });
    let pair = Base64::encode_string(format!("{DEMO_CLIENT}:{SECRET}").as_bytes());
    let refusal = |word: &str| json!({ "error": word, "error_description": word, "error_uri": word });
    let granted = |word: &str| json!({ "access_token": word, "token_type": word, "scope": word });
    for word in [SECRET, &pair] {
        for (status, body) in [(400, refusal(word)), (302, refusal(word)), (200, granted(word))] {
            let mut answer = RawAnswer::new(status, body.to_string());
            for name in ["content-type", "location", "www-authenticate"] {
                answer.headers.push((name.to_owned(), word.to_owned()));
            }
            issuer.fault_at(Endpoint::Token, Fault::Answer(answer));
            for output in ["text", "json", "sarif"] {
                let run = check(&config, &[&issuer], &["--output", output]);
                assert_eq!(run.code, 1, "{}", run.stdout);
            }
        }
    }
}

#[test]
fn a_token_for_another_audience_is_told_beside_the_one_that_is_wanted() {
    let audience = "https://billing.example".to_owned();
    let issuer = issuer_with(IssuerOptions { audience, ..IssuerOptions::default() });
    let config = json!({
        "inbound": inbound(issuer.identifier(), discovery()),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &[]);
    // It is for another server, which may be meant.
    assert_eq!(run.code, 0, "{}", run.stdout);
    let token = block(&run, "token of client orders");
    assert!(token.contains("✓ the filter takes the token"), "{token}");
    assert!(token.contains("✗ aud        \"https://billing.example\""), "{token}");
    assert!(token.contains(&format!("wanted     \"{DEMO_AUDIENCE}\"")), "{token}");
    has(&run, &["would deny it: ", "[online-token-denied]"]);
}

#[test]
fn a_token_of_a_key_that_is_not_published_would_be_denied() {
    let issuer = issuer();
    issuer.replace_jwks(issuer_with(IssuerOptions::default()).jwks());
    let config = json!({
        "inbound": inbound(issuer.identifier(), discovery()),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &[]);
    has(&run, &["the inbound half of these files would deny it: no key of corp signed it"]);
}

#[test]
fn a_token_that_is_no_jwt_is_not_judged() {
    let issuer = issuer_with(IssuerOptions { tokens: TokenFormat::Opaque, ..IssuerOptions::default() });
    let config = json!({ "outbound": outbound(vec![client("orders", at(&issuer), secret())]) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    has(&run, &["the token is not a JWT"]);
}

#[test]
fn what_cannot_be_asked_from_here_is_named_with_the_reason() {
    let unset = json!({ "client_secret_basic": { "secret": { "env": "ONLINE_SECRET_THAT_IS_NOT_SET" } } });
    let issuer = issuer();
    let config = json!({ "outbound": outbound(vec![
        client("cluster", at(&issuer), json!({ "set_by_cluster": {} })),
        client("certificate", at(&issuer), json!({ "tls_client_auth": {} })),
        client("unset", at(&issuer), unset),
        // An address of no machine (RFC 5737), and not of this one.
        client("plain", token_endpoint("http://192.0.2.1/token"), secret()),
    ]) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    has(&run, &["set_by_cluster: only Envoy's cluster has the credential", "[online-not-asked]"]);
    has(&run, &["tls_client_auth: only Envoy's cluster has the certificate"]);
    has(&run, &["ONLINE_SECRET_THAT_IS_NOT_SET is not set where attachectl runs"]);
    has(&run, &["the client's credential would go over a network in plain text from here"]);
    assert_eq!(issuer.token_requests(), 0);
}

/// A proxy looks a name up by itself, so a credential without TLS goes to none; nor where no look-up shows the way.
#[test]
fn a_credential_without_tls_goes_to_no_proxy_and_to_no_name_that_cannot_be_looked_up() {
    let issuer = issuer();
    let proxy = ConnectProxy::start();
    let through = format!("http://127.0.0.1:{}", proxy.port);
    // A name that no machine has (RFC 6761 §6.4).
    let config = json!({ "outbound": outbound(vec![
        client("orders", token_endpoint("http://token.invalid/token"), secret()),
    ]) });
    let run = check(&config, &[], &["--proxy", &through]);
    has(&run, &["the client's credential would go over a network in plain text from here"]);
    let here = json!({ "outbound": outbound(vec![client("orders", at(&issuer), secret())]) });
    let run = check(&here, &[&issuer], &["--proxy", &through]);
    has(&run, &["the client's credential would go over a network in plain text from here"]);
    assert_eq!((proxy.asked(), issuer.token_requests()), (0, 0));
    let run = check(&config, &[], &[]);
    has(&run, &["not asked: its name has no address here, so the client's credential could go anywhere"]);
}

#[test]
fn no_more_than_32_calls_are_made() {
    let issuer = issuer();
    let clients = (0..40).map(|place| client(&format!("c{place}"), at(&issuer), secret())).collect();
    let run = check(&json!({ "outbound": outbound(clients) }), &[&issuer], &[]);
    assert_eq!(issuer.token_requests(), 32);
    has(&run, &["not asked: 32 calls have been made, and no more are"]);
}

#[test]
fn an_assertion_is_signed_with_the_key_of_the_environment_and_not_shown() {
    let issuer = issuer();
    let pair = KeyPair::generate("ours", Algorithm::Es256).unwrap();
    issuer.add_client(Client::new("signer").keys(pair.jwks()).scopes(&["orders:read"])).unwrap();
    let mut signer = client(
        "orders",
        at(&issuer),
        json!({ "private_key_jwt": {
        "key": { "env": "ONLINE_SECRET" },
        "algorithm": "ES256",
        "audience": format!("{}/token", issuer.url()),
    } }),
    );
    signer["client_id"] = json!("signer");
    let key = pair.private_jwk().to_string();
    let run = check_as(&key, &json!({ "outbound": outbound(vec![signer]) }), &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    has(&run, &["✓ the filter takes the token", "iss \"http://127.0.0.1:"]);
}
