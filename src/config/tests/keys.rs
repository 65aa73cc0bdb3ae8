//! Where keys come from, and what threads share.

use super::*;
use crate::issuer::KeySource;
use crate::sharing::PublicationUse;

const KEYS: &str = "/issuers/0/keys";
const PATH: &str = "inbound.issuers[0].keys";

fn jwks(uri: &str) -> Json {
    json!({ "jwks": { "uri": uri, "cluster": "idp" } })
}

fn discovery(more: Json) -> Json {
    let mut fields = json!({ "cluster": "idp" });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "discovery": fields })
}

fn sources(keys: Json) -> Vec<KeySource> {
    compiled(&with(KEYS, keys)).unwrap().inbound.unwrap().issuers[0].keys.clone()
}

#[test]
fn keys_come_from_one_source_or_from_a_list_of_them() {
    assert_eq!(sources(jwks("https://a.example/")).len(), 1);
    assert_eq!(sources(json!([jwks("https://a.example/")])).len(), 1);
    let inline = json!({ "inline": { "keys": [{ "kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" }] } });
    assert_eq!(sources(json!([jwks("https://a.example/"), jwks("https://b.example/"), inline])).len(), 3);
    let four = many(4, |n| jwks(&format!("https://{n}.example/")));
    accepts(KEYS, four);
    refuses(
        KEYS,
        many(5, |n| jwks(&format!("https://{n}.example/"))),
        &format!("{PATH}: more than 4 entries"),
    );
    refuses(KEYS, json!([]), &format!("{PATH}: the list is empty"));
    let twice = json!([jwks("https://a.example/"), jwks("https://b.example/"), jwks("https://a.example")]);
    refuses(KEYS, twice, &format!("{PATH}[2]: duplicate key source"));
    let one_of = "expected exactly one of jwks, discovery, inline, shared_secret";
    refuses(KEYS, json!([jwks("https://a.example/"), {}]), &format!("{PATH}[1]: {one_of}"));
}

#[test]
fn the_pace_of_fetches_does_not_contradict_itself() {
    let at = |field: &str| format!("{KEYS}/jwks/{field}");
    refuses(
        &at("min_refresh"),
        json!("11m"),
        &format!("{PATH}.jwks: `min_refresh` is longer than `refresh`"),
    );
    accepts(&at("min_refresh"), json!("10m"));
    // Left out, it is never in the way.
    accepts(&at("refresh"), json!("1s"));
    for (field, least, most, bad) in [
        ("refresh", "1s", "24h", ["999ms", "25h"]),
        ("max_staleness", "1s", "720h", ["0s", "721h"]),
        ("unknown_key_interval", "100ms", "1h", ["99ms", "61m"]),
        ("timeout", "10ms", "60s", ["9ms", "61s"]),
    ] {
        accepts(&at(field), json!(least));
        accepts(&at(field), json!(most));
        for bad in bad {
            assert_eq!(problems(&with(&at(field), json!(bad))).len(), 1, "{field}: {bad}");
        }
    }
    refuses(&at("empty_set"), json!("yes"), &format!("{PATH}.jwks.empty_set: expected one of keep, accept"));
    let [KeySource::Jwks(jwks)] = &sources(json!({ "jwks": { "uri": "https://a.example/", "cluster": "idp",
        "refresh": "10s", "empty_set": "accept" } }))[..]
    else {
        panic!()
    };
    assert_eq!((jwks.schedule.min_refresh.as_secs(), jwks.accepts_empty_set), (10, true));
}

#[test]
fn discovery_needs_no_more_than_a_cluster() {
    let [KeySource::Discovery(found)] = &sources(discovery(json!({})))[..] else { panic!() };
    assert_eq!(
        (&*found.metadata.cluster, &*found.jwks_cluster, &*found.metadata.issuer),
        ("idp", "idp", "https://idp.example")
    );
    assert!(!found.metadata.allow_http && !found.accepts_empty_set);
    assert_eq!(
        (found.metadata.schedule.refresh.as_secs(), found.jwks_schedule.refresh.as_secs()),
        (3600, 600)
    );
    let least = |more: Json| match &sources(discovery(more))[..] {
        [KeySource::Discovery(found)] => found.metadata.schedule.min_refresh.as_secs(),
        _ => panic!(),
    };
    assert_eq!(least(json!({})), 30);
    assert_eq!(least(json!({ "metadata_min_refresh": "1h" })), 3600);
    refuses(
        KEYS,
        discovery(json!({ "metadata_min_refresh": "61m" })),
        &format!("{PATH}.discovery: `metadata_min_refresh` is longer than `metadata_refresh`"),
    );
    let more =
        json!({ "jwks_cluster": "keys", "metadata_refresh": "10s", "refresh": "20s", "tls": "optional" });
    let [KeySource::Discovery(found)] = &sources(discovery(more))[..] else { panic!() };
    assert_eq!(
        (&*found.metadata.cluster, &*found.jwks_cluster, found.metadata.allow_http),
        ("idp", "keys", true)
    );
    let seconds =
        [found.metadata.schedule.refresh, found.metadata.schedule.min_refresh, found.jwks_schedule.refresh];
    assert_eq!(seconds.map(|duration| duration.as_secs()), [10, 10, 20]);
    refuses(KEYS, json!({ "discovery": {} }), &format!("{PATH}.discovery: missing field `cluster`"));
    refuses(
        KEYS,
        json!([discovery(json!({})), discovery(json!({ "tls": "optional" }))]),
        &format!("{PATH}[1]: duplicate key source"),
    );
}

#[test]
fn only_a_plain_https_issuer_is_discovered() {
    let of = |issuer: &str, tls: &str| {
        let mut document = with(KEYS, discovery(json!({ "tls": tls })));
        document["inbound"]["issuers"][0]["issuer"] = json!(issuer);
        problems(&document)
    };
    for good in ["https://h.example", "https://h.example/", "https://h.example:8443/a/b", "https://[::1]/x"] {
        assert_eq!(of(good, "required"), Vec::<String>::new(), "{good}");
    }
    let problem = |text: &str| vec![format!("{PATH}.discovery: {text}")];
    let no_tls = "the `issuer` is not https: discovery without TLS needs `tls: optional`";
    assert_eq!(of("http://h.example", "required"), problem(no_tls));
    assert_eq!(of("http://h.example", "optional"), Vec::<String>::new());
    for bad in ["corp", "urn:corp", "ftp://h.example", "//h.example", "https:"] {
        assert_eq!(of(bad, "optional"), problem("discovery needs an `issuer` that is an https URL"), "{bad}");
    }
    let plain = "discovery needs an `issuer` without query, fragment, user and password";
    for bad in
        ["https://h.example/?a", "https://h.example/#a", "https://u@h.example", "https://u:p@h.example"]
    {
        assert_eq!(of(bad, "required"), problem(plain), "{bad}");
    }
}

/// Something as `sharing`, and whether it is shared and sealed, or the problems with it.
fn sharing(value: Json) -> Result<Option<bool>, Vec<String>> {
    let mut document = base();
    document["sharing"] = value;
    match compiled(&document) {
        Ok(config) => Ok(config.sharing.map(|sharing| sharing.seal.is_some())),
        Err(errors) => Err(errors.0.iter().map(ToString::to_string).collect()),
    }
}

#[test]
fn threads_share_unless_told_not_to_and_seal_when_told_how() {
    assert_eq!(compiled(&base()).unwrap().sharing.map(|sharing| sharing.seal.is_some()), Some(false));
    assert_eq!(sharing(json!("process")), Ok(Some(false)));
    assert_eq!(sharing(json!("none")), Ok(None));
    let sealed = |name: &str| json!({ "process": { "sealing_secret": { "env": name } } });
    assert_eq!(sharing(sealed("GOOD")), Ok(Some(true)));
    // 32 bytes.
    assert_eq!(sharing(sealed("MIDDLE")), Ok(Some(true)));
    let path = "sharing.process.sealing_secret.env";
    let problem = |text: String| Err(vec![text]);
    assert_eq!(sharing(sealed("SHORT")), problem(format!("{path}: a sealing secret has at least 32 bytes")));
    assert_eq!(
        sharing(sealed("TEXT")),
        problem(format!("{path}: the variable does not hold base64url without padding"))
    );
    let unset = "the environment variable UNSET is not set: pass it to the VM, or export it for attachectl";
    assert_eq!(sharing(sealed("UNSET")), problem(format!("{path}: {unset}")));
    assert_eq!(sharing(json!("all")), problem("sharing: expected one of none, process".to_owned()));
    assert_eq!(sharing(json!({})), problem("sharing: expected exactly one of process".to_owned()));
    let missing = "sharing.process: missing field `sealing_secret`".to_owned();
    assert_eq!(sharing(json!({ "process": {} })), problem(missing));
}

#[test]
fn tokens_are_shared_only_with_a_seal_or_when_told_to_without_one() {
    let process = |fields: Json| json!({ "process": fields });
    let shares_tokens = |sharing: Json| {
        let mut document = base();
        document["sharing"] = sharing;
        compiled(&document).unwrap().sharing.is_some_and(|sharing| sharing.shares_tokens())
    };
    assert!(!shares_tokens(json!("process")) && !shares_tokens(json!("none")));
    assert!(shares_tokens(process(json!({ "sealing_secret": { "env": "GOOD" } }))));
    assert!(shares_tokens(process(json!({ "tokens": "unsealed" }))));
    // Without a `vm_id` any module of the proxy could put another token in its place.
    let nameless = |sharing: Json| {
        let mut document = base();
        document["sharing"] = sharing;
        let config = parse(document.to_string().as_bytes(), &Nameless).unwrap();
        config.sharing.map(|sharing| (sharing.shares_tokens(), sharing.publication_use()))
    };
    for unsealed in [json!("process"), process(json!({ "tokens": "unsealed" }))] {
        assert_eq!(nameless(unsealed), Some((false, PublicationUse::Confirm)));
    }
    let sealed = process(json!({ "sealing_secret": { "env": "GOOD" } }));
    assert_eq!(nameless(sealed), Some((true, PublicationUse::Adopt)));
    assert_eq!(nameless(json!("none")), None);
    assert_eq!(sharing(process(json!({ "tokens": "unsealed" }))), Ok(Some(false)));
    let problem = |text: &str| Err(vec![format!("sharing.process{text}")]);
    assert_eq!(
        sharing(process(json!({ "tokens": "unsealed", "sealing_secret": { "env": "GOOD" } }))),
        problem(".tokens: tokens are sealed with the sealing secret: leave `tokens` out")
    );
    assert_eq!(sharing(process(json!({ "tokens": "sealed" }))), problem(".tokens: expected one of unsealed"));
    assert_eq!(
        sharing(process(json!({ "token": "unsealed", "sealing_secret": { "env": "GOOD" } }))),
        problem(": unknown field `token`, expected one of sealing_secret, tokens")
    );
    assert_eq!(
        sharing(process(json!({ "sealing_secret": "GOOD" }))),
        problem(".sealing_secret: expected an object, got a string")
    );
}

#[test]
fn two_documents_are_of_two_groups() {
    let group = |document: &Json| compiled(document).unwrap().sharing.unwrap().group;
    assert_eq!(group(&base()), group(&base()));
    assert_ne!(group(&base()), group(&with("/version", json!(7))));
}

/// A VM without a `vm_id`.
struct Nameless;

impl Environment for Nameless {
    fn variable(&self, name: &str) -> Option<String> {
        Variables.variable(name)
    }
}
