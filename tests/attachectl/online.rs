//! `attachectl check --online`, against an issuer that answers right, and wrong in each way that an operator meets.

mod hosts;
mod printed;
mod proxy;
mod tls_server;
mod tokens;

use std::fs;
use std::path::Path;
use std::time::Duration;

use attache_harness::issuer::{
    Client, DEMO_AUDIENCE, DEMO_CLIENT, DEMO_SECRET, Endpoint, Fault, Issuer, IssuerOptions, MetadataForm,
};
use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};

use crate::tool::{Run, run_with};
use proxy::ConnectProxy;
use tls_server::TlsServer;

/// No word of any output.
const SECRET: &str = "hunter2-hunter2-hunter2";

fn issuer() -> Issuer {
    issuer_with(IssuerOptions::default())
}

/// One whose client has the secret that must not be seen.
fn issuer_with(options: IssuerOptions) -> Issuer {
    let issuer = Issuer::start(options).unwrap();
    issuer.add_client(Client::demo().secret(SECRET)).unwrap();
    issuer
}

fn inbound(issuer: &str, keys: Value) -> Value {
    json!({
        "issuers": [{ "name": "corp", "issuer": issuer, "audiences": [DEMO_AUDIENCE], "keys": keys }],
        "routes": [
            { "name": "read", "match": { "path": "/orders" }, "require": { "scopes": ["orders:read"] } },
            { "name": "admin", "match": { "path": "/admin" }, "require": { "scopes": ["admin"] } },
        ],
        "default": "deny",
    })
}

fn jwks(issuer: &Issuer) -> Value {
    json!({ "jwks": { "uri": format!("{}/jwks", issuer.url()), "cluster": "idp", "timeout": "5s" } })
}

fn discovery() -> Value {
    json!({ "discovery": { "cluster": "idp", "tls": "optional" } })
}

fn client(name: &str, endpoint: (&str, Value), authentication: Value) -> Value {
    let mut client = json!({ "name": name, "client_id": DEMO_CLIENT, "authentication": authentication });
    client[endpoint.0] = endpoint.1;
    client
}

fn secret() -> Value {
    json!({ "client_secret_basic": { "secret": { "env": "ONLINE_SECRET" } } })
}

fn token_endpoint(url: &str) -> (&'static str, Value) {
    ("token_endpoint", json!({ "uri": url, "cluster": "idp", "tls": "optional" }))
}

fn at(issuer: &Issuer) -> (&'static str, Value) {
    token_endpoint(&format!("{}/token", issuer.url()))
}

fn outbound(clients: Vec<Value>) -> Value {
    let destinations: Vec<Value> = clients
        .iter()
        .enumerate()
        .map(|(place, client)| {
            json!({ "match": { "authorities": [format!("api{place}.example")], "clusters": ["api"] },
                    "client": client["name"] })
        })
        .collect();
    json!({ "position": "downstream", "clients": clients, "destinations": destinations, "unmatched": "pass" })
}

/// Runs the tool on a configuration. Whatever it prints holds neither the secret nor a token of the issuer's.
fn check(config: &Value, issuers: &[&Issuer], arguments: &[&str]) -> Run {
    check_as(SECRET, config, issuers, arguments)
}

fn check_as(secret: &str, config: &Value, issuers: &[&Issuer], arguments: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let arguments = [&["check", "--online", "config.json"], arguments].concat();
    let run = run_with(folder.path(), &[("ONLINE_SECRET", secret)], &arguments, "");
    let all = format!("{}{}", run.stdout, run.stderr);
    let pair = Base64::encode_string(format!("{DEMO_CLIENT}:{secret}").as_bytes());
    let mut hidden = vec![secret.to_owned(), pair];
    hidden.extend(issuers.iter().flat_map(|issuer| issuer.issued_tokens()));
    assert!(!all.contains("eyJ"), "it shows a token or an assertion: {all}");
    for hidden in hidden {
        assert!(!all.contains(&hidden), "it shows {hidden}: {all}");
        // Nor a part that is as good: the signature, the claims.
        for part in hidden.split('.').filter(|part| part.len() > 16) {
            assert!(!all.contains(part), "it shows a part of {hidden}: {all}");
        }
    }
    run
}

#[track_caller]
fn has(run: &Run, texts: &[&str]) {
    for text in texts {
        assert!(run.stdout.contains(text), "{text}\nis missing in\n{}{}", run.stdout, run.stderr);
    }
}

/// The block of an endpoint, as far as the next one.
fn block<'a>(run: &'a Run, purpose: &str) -> &'a str {
    let (_, rest) =
        run.stdout.split_once(&format!("\n\n{purpose}\n")).unwrap_or_else(|| panic!("{}", run.stdout));
    rest.split("\n\n").next().unwrap()
}

#[test]
fn what_answers_right_is_told_with_its_address_time_answer_and_verdict() {
    let issuer = issuer();
    let config = json!({
        "inbound": inbound(issuer.identifier(), discovery()),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    has(&run, &["asked from this machine and not from Envoy"]);
    let metadata = block(&run, "metadata of issuer corp");
    let url = format!("  URL      {}/.well-known/oauth-authorization-server\n", issuer.url());
    assert!(metadata.contains(&url), "{metadata}");
    assert!(metadata.contains(&format!("  address  {}\n", issuer.addr())), "{metadata}");
    assert!(
        metadata.contains("  TLS      none\n") && metadata.contains(" ms, of at most 5000 ms\n"),
        "{metadata}"
    );
    assert!(metadata.contains("  answer   200, application/json, "), "{metadata}");
    assert!(metadata.contains("  verdict  ✓ the filter takes it\n"), "{metadata}");
    assert!(metadata.contains(&format!("✓ issuer     \"{}\"", issuer.identifier())), "{metadata}");
    let keys = block(&run, "keys of issuer corp");
    assert!(keys.contains("kid \"key-1\", kty \"EC\", alg \"ES256\": usable"), "{keys}");
    let token = block(&run, "token of client orders");
    assert!(token.contains("expires_in 300 s") && token.contains("✓ the filter takes the token"), "{token}");
    assert!(token.contains("the inbound half of these files would accept it"), "{token}");
    assert!(token.contains("of 2 routes that want a token, 1 would let it through"), "{token}");
    assert!(run.stderr.contains("asking: token of client orders: http://127.0.0.1:"), "{}", run.stderr);
    assert_eq!((issuer.token_requests(), issuer.metadata_requests(), issuer.jwks_requests()), (1, 1, 1));
}

#[test]
fn the_other_well_known_address_is_tried_and_told() {
    let issuer = issuer();
    issuer.hide_metadata(MetadataForm::OAuth, true);
    let config = json!({ "inbound": inbound(issuer.identifier(), discovery()) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    has(&run, &["verdict  · ", "404; the filter asks the other well-known address next"]);
    has(&run, &["/.well-known/openid-configuration\n", "✓ the filter takes it"]);
    issuer.hide_metadata(MetadataForm::OpenId, true);
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["verdict  ✗ ", "404 [online-document]", "at inbound.issuers[0].keys"]);
}

#[test]
fn an_issuer_that_is_a_slash_off_is_told_with_both_values() {
    let issuer = issuer();
    let wanted = format!("{}/", issuer.identifier());
    let config = json!({ "inbound": inbound(&wanted, discovery()) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["the metadata is another issuer's", "[online-document]", "it lacks the slash at the end"]);
    has(&run, &[&format!("✗ issuer     \"{}\"", issuer.identifier()), &format!("wanted     \"{wanted}\"")]);
    assert_eq!(issuer.jwks_requests(), 0, "its keys are not asked for");
}

#[test]
fn keys_that_are_not_there_are_told_with_the_status() {
    let issuer = issuer();
    issuer.fault(Fault::Status(404));
    let config = json!({ "inbound": inbound(issuer.identifier(), jwks(&issuer)) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let keys = block(&run, "keys of issuer corp");
    assert!(keys.contains("answer   404, application/json") && keys.contains("verdict  ✗ "), "{keys}");
    has(&run, &[&format!("keys of issuer corp at {}/jwks: ", issuer.url()), "404 [online-document]"]);
}

#[test]
fn keys_that_cannot_be_used_are_told_each_with_its_reason() {
    let issuer = issuer();
    issuer.fault(Fault::WeakRsa);
    let config = json!({ "inbound": inbound(issuer.identifier(), jwks(&issuer)) });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["✗ the set holds no usable key", "kid \"key-1\", kty \"RSA\"", "not usable: "]);
    issuer.fault(Fault::PrivateKeys);
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["✗ it publishes private keys"]);
}

#[test]
fn a_port_that_nothing_listens_at_is_told_as_such() {
    // A port that only the system may open, and that it does not.
    let keys = json!({ "jwks": { "uri": "http://127.0.0.1:1/jwks", "cluster": "idp" } });
    let run = check(&json!({ "inbound": inbound("https://issuer.example", keys) }), &[], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let keys = block(&run, "keys of issuer corp");
    assert!(keys.contains("address  127.0.0.1:1\n") && keys.contains("answer   none\n"), "{keys}");
    assert!(keys.contains("✗ the connection failed: "), "{keys}");
    has(&run, &["[online-unreachable]"]);
}

/// Whatever a server says of what it was told: the secret, the header, the token.
#[test]
fn a_redirect_is_told_and_not_followed() {
    let issuer = issuer();
    issuer.fault(Fault::Redirect);
    issuer.fault_at(Endpoint::Token, Fault::Redirect);
    let config = json!({
        "inbound": inbound(issuer.identifier(), jwks(&issuer)),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    for purpose in ["keys of issuer corp", "token of client orders"] {
        let block = block(&run, purpose);
        assert!(block.contains("verdict  ✗ "), "{block}");
        assert!(block.contains("302: a redirect, which Envoy does not follow"), "{block}");
    }
    assert_eq!((issuer.jwks_requests(), issuer.token_requests()), (1, 1));
}

#[test]
fn an_answer_that_is_too_large_is_not_read_to_its_end() {
    let issuer = issuer();
    issuer.fault(Fault::Huge(8 * 1024 * 1024));
    issuer.fault_at(Endpoint::Token, Fault::Huge(8 * 1024 * 1024));
    let config = json!({
        "inbound": inbound(issuer.identifier(), jwks(&issuer)),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["more than a document may have", "more than a token answer may have"]);
    let read = format!(", {} bytes\n", attache::oauth::MAX_TOKEN_ANSWER_BYTES + 1);
    assert!(block(&run, "token of client orders").contains(&read), "{}", run.stdout);
}

#[test]
fn an_answer_that_does_not_come_is_waited_for_as_long_as_the_configuration_says() {
    let issuer = issuer();
    issuer.fault(Fault::Hang);
    let uri = format!("{}/jwks", issuer.url());
    let keys = json!({ "jwks": { "uri": uri, "cluster": "idp", "timeout": "100ms" } });
    let run = check(&json!({ "inbound": inbound(issuer.identifier(), keys) }), &[&issuer], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    has(&run, &["✗ no answer within 100 ms", "[online-unreachable]"]);
    assert_eq!(issuer.jwks_requests(), 1);
}

#[test]
fn tls_is_verified_and_told_with_the_certificate() {
    let keys = issuer().jwks();
    let server = TlsServer::start(keys);
    let ca = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/attachectl/online/ca.pem");
    let uri = format!("https://localhost:{}/jwks", server.port);
    let config = json!({ "inbound": inbound("https://issuer.example", json!({ "jwks": { "uri": uri, "cluster": "idp" } })) });
    let run = check(&config, &[], &["--ca", ca.to_str().unwrap()]);
    assert_eq!(run.code, 0, "{}", run.stdout);
    let block_of = |run: &Run| block(run, "keys of issuer corp").to_owned();
    let good = block_of(&run);
    assert!(good.contains("TLS      TLSv1.3\n") && good.contains("✓ the filter takes it"), "{good}");
    assert!(good.contains("certificate of \"CN=localhost\"\n"), "{good}");
    assert!(good.contains("signed by \"CN=Test CA\", until 2126-"), "{good}");
    // Another CA than the system's: it is told whose certificate that was.
    let run = check(&config, &[], &[]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let bad = block_of(&run);
    assert!(bad.contains("✗ no TLS connection: invalid peer certificate: UnknownIssuer"), "{bad}");
    assert!(bad.contains("certificate of \"CN=localhost\""), "{bad}");
    // The system's certificates, as other tools are told of them.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let system = [("SSL_CERT_FILE", ca.to_str().unwrap())];
    let run = run_with(folder.path(), &system, &["check", "--online", "config.json"], "");
    assert_eq!(run.code, 0, "{}", run.stdout);
    // A server without TLS where it should have it.
    let plain = issuer();
    let uri = format!("https://{}/jwks", plain.addr());
    let keys = json!({ "jwks": { "uri": uri, "cluster": "idp" } });
    let run = check(&json!({ "inbound": inbound("https://issuer.example", keys) }), &[], &[]);
    has(&run, &["✗ no TLS connection: ", "TLS      not agreed on"]);
    let run = check(&config, &[], &["--ca", "config.json"]);
    assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
}

#[test]
fn json_and_sarif_have_what_the_text_has() {
    let issuer = issuer();
    issuer.fault_at(Endpoint::Token, Fault::Delay(Duration::ZERO));
    issuer.fault(Fault::Status(500));
    let config = json!({
        "inbound": inbound(issuer.identifier(), jwks(&issuer)),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let run = check(&config, &[&issuer], &["--output", "json"]);
    assert_eq!(run.code, 1, "{}", run.stdout);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    let [keys, token] = report["endpoints"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&keys["verdict"], &keys["exchange"]["answer"]["status"]), (&json!("bad"), &json!(500)));
    assert_eq!((&token["verdict"], &token["exchange"]["tls"]), (&json!("good"), &Value::Null));
    assert_eq!(token["url"], format!("{}/token", issuer.url()));
    assert_eq!(token["exchange"]["addresses"], json!([issuer.addr().to_string()]));
    let run = check(&config, &[&issuer], &["--output", "sarif"]);
    let sarif: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(results.iter().any(|result| result["ruleId"] == "online-document"), "{results:?}");
}

#[test]
fn a_proxy_is_used_where_it_is_given_and_only_there() {
    let issuer = issuer();
    let proxy = ConnectProxy::start();
    let url = format!("http://127.0.0.1:{}", proxy.port);
    let config = json!({
        "inbound": inbound(issuer.identifier(), jwks(&issuer)),
        "outbound": outbound(vec![client("orders", at(&issuer), secret())]),
    });
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
    let mut variables = names.map(|name| (name, &*url)).to_vec();
    variables.push(("ONLINE_SECRET", SECRET));
    let arguments = ["check", "--online", "config.json"];
    let run = run_with(folder.path(), &variables, &arguments, "");
    assert_eq!((run.code, proxy.asked()), (0, 0), "{}", run.stdout);
    let run = run_with(folder.path(), &variables, &[&arguments[..], &["--proxy", &url]].concat(), "");
    // The credential would be in plain text on the way to the proxy.
    assert_eq!((run.code, proxy.asked(), issuer.token_requests()), (0, 1, 1), "{}", run.stdout);
    has(&run, &["✓ the filter takes it", "the client's credential would go over a network in plain text"]);
    for wrong in ["socks5://127.0.0.1:1", "127.0.0.1:1"] {
        let run = run_with(folder.path(), &variables, &[&arguments[..], &["--proxy", wrong]].concat(), "");
        assert_eq!((run.code, run.stdout.as_str()), (2, ""), "{}", run.stderr);
    }
}

#[test]
fn what_is_found_can_be_allowed_in_the_file_and_the_comment_does_no_harm_without_the_flag() {
    let folder = tempfile::tempdir().unwrap();
    let keys = json!({ "jwks": { "uri": "http://127.0.0.1:1/jwks", "cluster": "idp" } });
    let config = json!({ "inbound": inbound("https://issuer.example", keys) });
    let text =
        format!("# attachectl: allow-file online-unreachable, endpoint-http: it is not there yet\n{config}");
    fs::write(folder.path().join("config.yaml"), text).unwrap();
    for arguments in
        [&["check", "--strict", "--online", "config.yaml"][..], &["check", "--strict", "config.yaml"]]
    {
        let run = run_with(folder.path(), &[], arguments, "");
        assert_eq!(run.code, 0, "{}{}", run.stdout, run.stderr);
    }
}

#[test]
fn without_the_flag_nothing_is_asked() {
    let issuer = issuer();
    let folder = tempfile::tempdir().unwrap();
    let config = json!({ "inbound": inbound(issuer.identifier(), discovery()) });
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let run = run_with(folder.path(), &[], &["check", "config.json", "--output", "json"], "");
    assert_eq!((run.code, issuer.metadata_requests()), (0, 0), "{}", run.stdout);
    assert!(!run.stdout.contains("endpoints") && run.stderr.is_empty(), "{}", run.stdout);
}

/// The commands of docs/check.md, with the policy of that page, beside an issuer whose address stands in it.
#[test]
fn the_commands_of_the_page_work() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/check.md")).unwrap();
    let (_, section) = page.split_once("\n## check --online\n").unwrap();
    let section = section.split("\n## ").next().unwrap();
    let fenced = |language: &str| {
        let (_, rest) = section.split_once(&format!("```{language}\n")).unwrap();
        rest.split("```").next().unwrap().to_owned()
    };
    let issuer = issuer();
    issuer.add_client(Client::demo().secret(DEMO_SECRET)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let policy = fenced("yaml").replace("http://127.0.0.1:9000", issuer.url());
    assert!(policy.contains(issuer.url()), "{policy}");
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    fs::copy(root.join("tests/attachectl/online/ca.pem"), folder.path().join("ca.pem")).unwrap();
    let mut ran = 0;
    for line in fenced("sh").lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let ["CLIENT_SECRET=demo-secret", "target/debug/attachectl", arguments @ ..] = words.as_slice()
        else {
            panic!("{line}");
        };
        let run = run_with(folder.path(), &[("CLIENT_SECRET", DEMO_SECRET)], arguments, "");
        assert_eq!(run.code, 0, "{line}: {}{}", run.stdout, run.stderr);
        ran += 1;
    }
    assert!(ran >= 2, "{section}");
}
