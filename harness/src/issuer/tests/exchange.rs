//! Token exchange: the new token is the client's, and names whom the old one named.

use super::token::{ask, claims, refusal, token};
use super::*;
use crate::issuer::metadata::TOKEN_EXCHANGE;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

fn exchange(issuer: &Issuer, subject: &str, more: &[(&str, &str)]) -> Response {
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("client_id", "gateway"),
        ("client_secret", "s"),
        ("subject_token", subject),
    ];
    ask(issuer, &[form.as_slice(), more].concat())
}

fn gateway(tokens: TokenFormat) -> Issuer {
    let clients = vec![Client::demo(), Client::new("gateway").secret("s").scopes(&["a", "b"])];
    Issuer::start(IssuerOptions { clients, tokens, ..IssuerOptions::default() }).unwrap()
}

fn subject(issuer: &Issuer) -> String {
    issuer.mint(&TokenSpec::scoped("orders:read").claim("sub", "alice").claim("client_id", "web")).unwrap()
}

#[test]
fn the_exchanged_token_names_the_subject_and_who_acts() {
    let issuer = gateway(TokenFormat::Jwt);
    let more = [
        ("subject_token_type", ACCESS_TOKEN),
        ("requested_token_type", JWT),
        ("scope", "b"),
        ("resource", "https://orders.example/"),
        ("audience", "orders"),
    ];
    let answer = exchange(&issuer, &subject(&issuer), &more);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json().unwrap();
    assert_eq!((&answer["issued_token_type"], &answer["token_type"]), (&json!(JWT), &json!("Bearer")));
    let token = answer["access_token"].as_str().unwrap();
    let said = claims(token);
    assert_eq!((&said["sub"], &said["client_id"]), (&json!("alice"), &json!("gateway")));
    assert_eq!((&said["act"], &said["scope"]), (&json!({ "sub": "gateway" }), &json!("b")));
    assert_eq!(said["aud"], json!(["https://orders.example/", "orders"]));
    assert!(issuer.is_live(token));

    let answer = exchange(&issuer, token, &[("subject_token_type", JWT)]).json().unwrap();
    assert_eq!((&answer["issued_token_type"], &answer["scope"]), (&json!(ACCESS_TOKEN), &json!("a b")));
    let said = claims(answer["access_token"].as_str().unwrap());
    assert_eq!(said["act"], json!({ "sub": "gateway", "act": { "sub": "gateway" } }));
    assert_eq!(issuer.token_requests_with(TOKEN_EXCHANGE), 2);
}

#[test]
fn a_subject_token_that_is_not_good_is_an_invalid_request() {
    let issuer = gateway(TokenFormat::Jwt);
    let mint = |spec| issuer.mint(&spec).unwrap();
    let revoked = token(&issuer);
    issuer.revoke_token(&revoked);
    let all = token(&issuer);
    issuer.revoke_all_tokens();
    for subject in [
        mint(TokenSpec::default().expired()),
        mint(TokenSpec::default().without("exp")),
        mint(TokenSpec::default().without("sub")),
        mint(TokenSpec::default().claim("iss", "https://other.example")),
        mint(TokenSpec::default().signer(Signer::Forger)),
        mint(TokenSpec::default().signer(Signer::None)),
        mint(TokenSpec::default().tamper(Tamper::Claims)),
        "opaque".into(),
        revoked,
        all,
    ] {
        let answer = exchange(&issuer, &subject, &[("subject_token_type", ACCESS_TOKEN)]);
        assert_eq!(refusal(&answer), (400, "invalid_request".into()), "{subject}");
    }
    let token = token(&issuer);
    assert_eq!(exchange(&issuer, &token, &[("subject_token_type", ACCESS_TOKEN)]).status, 200);
}

#[test]
fn an_exchange_is_asked_for_as_rfc_8693_says() {
    let issuer = gateway(TokenFormat::Jwt);
    let subject = subject(&issuer);
    let saml = "urn:ietf:params:oauth:token-type:saml2";
    let typed = ("subject_token_type", ACCESS_TOKEN);
    let invalid = (400, "invalid_request".to_owned());
    let refused = |more: &[(&str, &str)]| refusal(&exchange(&issuer, &subject, more));
    assert_eq!(refused(&[]), invalid);
    assert_eq!(refused(&[("subject_token_type", saml)]), invalid);
    assert_eq!(refused(&[typed, ("requested_token_type", saml)]), invalid);
    assert_eq!(refused(&[typed, ("actor_token", "x")]), invalid);
    assert_eq!(refused(&[typed, ("subject_token", "again")]), invalid);
    assert_eq!(refused(&[typed, ("scope", "orders:read")]), (400, "invalid_scope".into()));
    assert_eq!(refused(&[typed, ("resource", "x")]), (400, "invalid_target".into()));
    let form = [("grant_type", TOKEN_EXCHANGE), ("client_id", "gateway"), ("client_secret", "s"), typed];
    assert_eq!(refusal(&ask(&issuer, &form)), invalid, "no subject");
}

#[test]
fn an_exchange_may_give_an_opaque_token() {
    let issuer = gateway(TokenFormat::Opaque);
    let more = [("subject_token_type", ACCESS_TOKEN)];
    let answer = exchange(&issuer, &subject(&issuer), &more).json().unwrap();
    assert_eq!(answer["issued_token_type"], ACCESS_TOKEN);
    assert!(issuer.is_live(answer["access_token"].as_str().unwrap()));
    let jwt = [more[0], ("requested_token_type", JWT)];
    assert_eq!(exchange(&issuer, &subject(&issuer), &jwt).status, 400);
}
