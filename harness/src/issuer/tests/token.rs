//! The token endpoint: who gets a token, what a test changes about it, and what it tells afterwards.

use super::*;

const CREDENTIALS: [(&str, &str); 3] =
    [("grant_type", "client_credentials"), ("client_id", DEMO_CLIENT), ("client_secret", DEMO_SECRET)];

/// Sends a form to the token endpoint.
pub(super) fn ask(issuer: &Issuer, form: &[(&str, &str)]) -> Response {
    Request::post(format!("{}/token", issuer.url())).form(form).send().unwrap()
}

/// A token of the demo's client.
pub(super) fn token(issuer: &Issuer) -> String {
    let answer = ask(issuer, &CREDENTIALS);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json().unwrap()["access_token"].as_str().unwrap().to_owned()
}

/// The status of an answer, and its error code.
pub(super) fn refusal(answer: &Response) -> (u16, String) {
    (answer.status, answer.json().unwrap()["error"].as_str().unwrap_or_default().to_owned())
}

/// The claims of a token.
pub(super) fn claims(token: &str) -> Value {
    jwt::unverified_claims(token).unwrap().into()
}

fn basic(issuer: &Issuer, id: &str, secret: &str, form: &[(&str, &str)]) -> Response {
    let pair = base64ct::Base64::encode_string(format!("{id}:{secret}").as_bytes());
    let request = Request::post(format!("{}/token", issuer.url()));
    request.header("authorization", format!("Basic {pair}")).form(form).send().unwrap()
}

fn invalid_client() -> (u16, String) {
    (401, "invalid_client".into())
}

#[test]
fn a_client_authenticates_only_as_it_may_and_in_one_way_at_a_time() {
    let issuer = issuer();
    let grant = CREDENTIALS[0];
    issuer.add_client(Client::new("b").secret("s").methods(&[AuthMethod::ClientSecretBasic])).unwrap();
    issuer.add_client(Client::new("p").secret("s").methods(&[AuthMethod::ClientSecretPost])).unwrap();
    issuer.add_client(Client::new("none")).unwrap();
    let post = |id: &str| ask(&issuer, &[grant, ("client_id", id), ("client_secret", "s")]);
    assert_eq!((basic(&issuer, "b", "s", &[grant]).status, post("p").status), (200, 200));
    assert_eq!(refusal(&basic(&issuer, "p", "s", &[grant])), invalid_client());
    assert_eq!(refusal(&post("b")), invalid_client());
    assert_eq!(refusal(&ask(&issuer, &[grant, ("client_id", "none")])), invalid_client());
    assert_eq!(
        refusal(&ask(&issuer, &[grant, ("client_id", "none"), ("client_secret", "")])),
        invalid_client()
    );
    assert_eq!(basic(&issuer, "b", "s", &[grant, ("client_id", "b")]).status, 200);
    for extra in [("client_id", "p"), ("client_secret", "s"), ("client_assertion", "a.b.c")] {
        let answer = basic(&issuer, "b", "s", &[grant, extra]);
        assert_eq!(refusal(&answer), (400, "invalid_request".into()), "{extra:?}");
    }
}

#[test]
fn a_new_secret_revokes_the_old_one() {
    let issuer = issuer();
    token(&issuer);
    assert!(issuer.set_secret(DEMO_CLIENT, "new") && !issuer.set_secret("nobody", "new"));
    assert_eq!(refusal(&ask(&issuer, &CREDENTIALS)), invalid_client());
    assert_eq!(basic(&issuer, DEMO_CLIENT, "new", &CREDENTIALS[..1]).status, 200);
}

#[test]
fn a_removed_client_gets_no_token_until_it_is_added_again() {
    let issuer = issuer();
    assert!(issuer.remove_client(DEMO_CLIENT) && !issuer.remove_client(DEMO_CLIENT));
    assert_eq!(refusal(&ask(&issuer, &CREDENTIALS)), invalid_client());
    issuer.add_client(Client::demo().scopes(&["a"])).unwrap();
    issuer.add_client(Client::demo().scopes(&["b"])).unwrap();
    assert_eq!(claims(&token(&issuer))["scope"], "b");
}

#[test]
fn tokens_live_as_long_as_they_are_told_from_now_on() {
    let issuer = issuer();
    let lifetime = || {
        let answer = ask(&issuer, &CREDENTIALS).json().unwrap();
        let claims = claims(answer["access_token"].as_str().unwrap());
        let lives = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        (answer["expires_in"].as_u64().unwrap(), lives)
    };
    assert_eq!(lifetime(), (300, 300));
    issuer.set_lifetime(Duration::from_secs(7));
    assert_eq!(lifetime(), (7, 7));
    issuer.set_lifetime(Duration::ZERO);
    assert!(!issuer.is_live(&token(&issuer)));
}

#[test]
fn a_token_is_live_from_its_grant_to_its_revocation() {
    let issuer = issuer();
    let is_live = issuer.liveness();
    let [one, two, three] = [(); 3].map(|()| token(&issuer));
    assert!(is_live(&one) && !is_live("unknown") && !is_live(&issuer.mint(&TokenSpec::default()).unwrap()));
    assert_eq!(issuer.issued_tokens(), [one.as_str(), &two, &three]);
    assert!(issuer.revoke_token(&one) && !issuer.revoke_token(&one));
    assert_eq!([&one, &two, &three].map(|token| issuer.is_live(token)), [false, true, true]);
    issuer.revoke_all_tokens();
    assert_eq!([&one, &two, &three].map(|token| is_live(token)), [false; 3]);
    assert!(is_live(&token(&issuer)));
}

#[test]
fn opaque_tokens_say_nothing_and_are_remembered() {
    let options = IssuerOptions { tokens: TokenFormat::Opaque, ..IssuerOptions::default() };
    let issuer = Issuer::start(options).unwrap();
    let (one, two) = (token(&issuer), token(&issuer));
    assert!(one != two && one.len() == 43 && !one.contains('.'));
    assert!(
        issuer.is_live(&one) && issuer.revoke_token(&one) && !issuer.is_live(&one) && issuer.is_live(&two)
    );
}

#[test]
fn an_answer_is_the_one_that_was_written_out() {
    let issuer = issuer();
    let html = RawAnswer::new(403, "<p>no").content_type("text/html").header("x-a", "1").header("x-a", "2");
    issuer.fault_next(Endpoint::Token, Fault::Answer(html.header("no header", "x")), 1);
    let answer = ask(&issuer, &CREDENTIALS);
    assert_eq!((answer.status, answer.text().as_str()), (403, "<p>no"));
    assert_eq!(answer.header("content-type"), Some("text/html"));
    assert_eq!(answer.headers.iter().filter(|(name, _)| name == "x-a").count(), 2);
    assert_eq!(ask(&issuer, &CREDENTIALS).status, 200);
    let busy = RawAnswer::json(429, &json!({ "error": "slow_down" })).header("retry-after", "3");
    issuer.fault_at(Endpoint::Token, Fault::Answer(busy));
    for _ in 0..2 {
        let answer = ask(&issuer, &[]);
        assert_eq!(refusal(&answer), (429, "slow_down".into()));
        assert_eq!(answer.header("retry-after"), Some("3"));
    }
    issuer.heal();
    assert_eq!((ask(&issuer, &CREDENTIALS).status, issuer.token_requests()), (200, 5));
}

#[test]
fn a_patch_changes_members_of_what_was_granted_and_leaves_refusals() {
    let issuer = issuer();
    let patched = |patch| {
        issuer.fault_next(Endpoint::Token, Fault::Patch(patch), 1);
        ask(&issuer, &CREDENTIALS).json().unwrap()
    };
    let answer =
        patched(json!({ "expires_in": "300", "scope": null, "token_type": "MAC", "more": { "a": 1 } }));
    assert!(issuer.is_live(answer["access_token"].as_str().unwrap()));
    assert_eq!((&answer["expires_in"], &answer["token_type"]), (&json!("300"), &json!("MAC")));
    assert_eq!((answer.get("scope"), &answer["more"]), (None, &json!({ "a": 1 })));
    assert_eq!(patched(json!(["not", "an", "object"])), json!(["not", "an", "object"]));
    issuer.fault_at(Endpoint::Token, Fault::Patch(json!({ "error": "other" })));
    assert_eq!(refusal(&ask(&issuer, &CREDENTIALS[..1])), invalid_client());
}

#[test]
fn token_requests_are_counted_by_client_and_by_grant() {
    let issuer = issuer();
    let start = Instant::now();
    ask(&issuer, &CREDENTIALS);
    basic(&issuer, "a%20b", "wrong", &[("grant_type", "password")]);
    issuer.fault_at(Endpoint::Token, Fault::Status(500));
    ask(&issuer, &CREDENTIALS);
    ask(&issuer, &[]);
    assert_eq!(issuer.token_requests(), 4);
    assert_eq!([DEMO_CLIENT, "a b", "c"].map(|id| issuer.token_requests_of(id)), [2, 1, 0]);
    let grants = ["client_credentials", "password", "other"];
    assert_eq!(grants.map(|grant| issuer.token_requests_with(grant)), [2, 1, 0]);
    let times = issuer.token_request_times();
    assert!(times.len() == 4 && times.is_sorted() && times[0] >= start);
}

#[test]
fn the_log_tells_what_was_asked_and_no_secret() {
    let issuer = issuer();
    let more =
        [("scope", "a"), ("resource", "https://x"), ("resource", "https://y"), ("client_secret", "d.e.f")];
    ask(&issuer, &[CREDENTIALS.as_slice(), &more].concat());
    basic(&issuer, "a", "hidden", &[("subject_token", "opaque.or.not")]);
    let subject = issuer.mint(&TokenSpec::default()).unwrap();
    ask(&issuer, &[("client_assertion", &subject)]);
    let log = issuer.token_log();
    assert_eq!(log.iter().map(|request| request.at).collect::<Vec<_>>(), issuer.token_request_times());
    let of =
        |index: usize| (log[index].client_id.as_deref(), log[index].method, log[index].grant_type.as_deref());
    let post = AuthMethod::ClientSecretPost;
    assert_eq!(of(0), (Some(DEMO_CLIENT), Some(post), Some("client_credentials")));
    assert_eq!((log[0].parameter("scope"), log[0].parameter("resource")), (Some("a"), None));
    assert!(log[0].headers.iter().any(|name| name == "content-type"));
    assert_eq!(of(1), (Some("a"), Some(AuthMethod::ClientSecretBasic), None));
    assert_eq!(log[1].parameter("subject_token"), Some("[secret]"));
    assert_eq!(of(2), (Some(DEMO_CLIENT), Some(AuthMethod::PrivateKeyJwt), None));
    let (signed, signature) = subject.rsplit_once('.').unwrap();
    assert_eq!(log[2].parameter("client_assertion"), Some(format!("{signed}.").as_str()));
    let text = format!("{log:?}");
    assert!(
        [DEMO_SECRET, "hidden", "d.e.f", signature].iter().all(|secret| !text.contains(secret)),
        "{text}"
    );
}

#[test]
fn the_log_keeps_the_last_thousand() {
    let issuer = issuer();
    let log = &issuer.state.token_log;
    for number in 0..1_001 {
        let body = format!("client_id={number}");
        log.add(TokenRequest::read(&axum::http::HeaderMap::new(), body.as_bytes()));
    }
    let ids: Vec<_> = issuer.token_log().into_iter().filter_map(|request| request.client_id).collect();
    assert_eq!((ids.len(), ids[0].as_str(), ids[999].as_str()), (1_000, "1", "1000"));
}

#[test]
fn the_metadata_names_the_token_endpoint_that_it_was_told() {
    let issuer = issuer();
    let metadata = || get(&issuer, metadata::OAUTH_PATH).json().unwrap();
    assert_eq!(metadata()["token_endpoint"], format!("{}/token", issuer.url()));
    issuer.set_token_endpoint(Some("https://issuer.example/oauth/token".into()));
    assert_eq!(metadata()["token_endpoint"], "https://issuer.example/oauth/token");
    issuer.set_token_endpoint(None);
    assert_eq!(metadata()["token_endpoint"], format!("{}/token", issuer.url()));
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    assert_eq!(metadata()["token_endpoint_auth_methods_supported"], json!(methods));
}

#[test]
fn the_admin_endpoints_rule_clients_and_tokens() {
    let issuer = issuer();
    let client = json!({ "id": "c", "secret": "s", "scopes": ["a"], "methods": ["client_secret_post"] });
    assert_eq!(admin(&issuer, "POST", "clients", &client).status, 200);
    assert_eq!(admin(&issuer, "POST", "clients", &json!({ "id": "d", "keys": {} })).status, 400);
    let secret =
        |id| admin(&issuer, "POST", "clients/secret", &json!({ "id": id, "secret": "t" })).json().unwrap();
    assert_eq!((secret("c"), secret("d")), (json!({ "set": true }), json!({ "set": false })));
    assert_eq!(post(&issuer, "token/lifetime?seconds=9").status, 200);
    let form = [CREDENTIALS[0], ("client_id", "c"), ("client_secret", "t")];
    let answer = ask(&issuer, &form).json().unwrap();
    assert_eq!(answer["expires_in"], 9);
    let presented = json!({ "token": answer["access_token"] });
    let about = |path: &str| admin(&issuer, "POST", path, &presented).json().unwrap();
    assert_eq!(about("token/live"), json!({ "live": true }));
    assert_eq!(about("token/revoke"), json!({ "revoked": true }));
    assert_eq!(about("token/live"), json!({ "live": false }));
    let other = token(&issuer);
    post(&issuer, "token/revoke_all");
    assert!(!issuer.is_live(&other));
    let remove = || admin(&issuer, "DELETE", "clients?id=c", &Value::Null).json().unwrap();
    assert_eq!((remove(), remove()), (json!({ "removed": true }), json!({ "removed": false })));
    assert_eq!(refusal(&ask(&issuer, &form)), invalid_client());

    let raw =
        json!({ "status": 418, "content_type": "text/plain", "headers": [["x-a", "1"]], "body": "tea" });
    admin(&issuer, "POST", "answer?times=1", &raw);
    let answer = ask(&issuer, &form);
    assert_eq!((answer.status, answer.text().as_str(), answer.header("x-a")), (418, "tea", Some("1")));
    admin(&issuer, "POST", "patch?at=metadata", &json!({ "jwks_uri": null }));
    assert_eq!(get(&issuer, metadata::OAUTH_PATH).json().unwrap().get("jwks_uri"), None);
    post(&issuer, "fault?kind=retry_after&value=7&status=429&at=token&times=1");
    let answer = ask(&issuer, &form);
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    post(&issuer, "token_endpoint?uri=https://x.example/token");
    assert_eq!(
        get(&issuer, metadata::OAUTH_PATH).json().unwrap()["token_endpoint"],
        "https://x.example/token"
    );
    admin(&issuer, "DELETE", "token_endpoint", &Value::Null);

    let times = get(&issuer, "/admin/token/times").json().unwrap();
    let log = get(&issuer, "/admin/token/log").json().unwrap();
    let count = |value: &Value| value.as_array().unwrap().len();
    assert_eq!((count(&times["milliseconds_ago"]), count(&log["requests"])), (5, 5));
    assert_eq!(log["requests"][0]["method"], "client_secret_post");
    let status = get(&issuer, "/admin/status").json().unwrap();
    assert_eq!(status["token_requests_by_client"], json!({ "c": 4, "orders-service": 1 }));
    assert_eq!(status["token_requests_by_grant"], json!({ "client_credentials": 5 }));
}
