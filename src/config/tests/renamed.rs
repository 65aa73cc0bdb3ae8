//! A word of an earlier version gets an error that names its successor.

use super::*;
use crate::config::renamed::RENAMED;

#[track_caller]
fn tells(document: &Json, problem: &str) {
    assert_eq!(outbound::problems(document), [problem]);
}

fn outbound_with(pointer: &str, value: Json) -> Json {
    outbound::with(pointer, value)
}

#[test]
fn a_field_that_has_a_new_name_is_an_error_that_names_it() {
    tells(&with("/refusals", json!({ "realm": "api" })), "inbound: `refusals` is now `denials`");
    tells(
        &outbound_with("/breaker", json!({ "failures": 3, "pause": "5s" })),
        "outbound.breaker: `pause` is now `open_duration`",
    );
    tells(
        &outbound_with("/clients/0/assumed_lifetime", json!("5m")),
        "outbound.clients[0]: `assumed_lifetime` is now `default_lifetime`",
    );
    tells(
        &outbound_with("/clients/0/header", json!({ "name": "x-token", "prefix": "Token" })),
        "outbound.clients[0].header: `prefix` is now `scheme`",
    );
}

#[test]
fn a_value_that_has_a_new_name_is_an_error_that_names_it() {
    tells(&outbound_with("/unmatched", json!("refuse")), "outbound.unmatched: `refuse` is now `deny`");
    tells(
        &outbound_with("/destinations/0/caller_credential", json!("refuse")),
        "outbound.destinations[0].caller_credential: `refuse` is now `deny`",
    );
    let assertion = json!({ "private_key_jwt": { "key": { "env": "RSA_KEY" }, "algorithm": "RS256",
        "audience": "https://idp.example", "portable_rsa": "refuse" } });
    tells(
        &outbound_with("/clients/0/authentication", assertion),
        "outbound.clients[0].authentication.private_key_jwt.portable_rsa: `refuse` is now `deny`",
    );
    tells(
        &with("/issuers/0/keys/jwks/empty_set", json!("believe")),
        "inbound.issuers[0].keys.jwks.empty_set: `believe` is now `accept`",
    );
    tells(
        &with("/issuers/0/keys", json!({ "discovery": { "cluster": "idp", "empty_set": "believe" } })),
        "inbound.issuers[0].keys.discovery.empty_set: `believe` is now `accept`",
    );
}

#[test]
fn a_word_is_taken_for_its_successor_only_where_that_may_stand() {
    for (old, new) in RENAMED {
        assert!(!RENAMED.iter().any(|(other, _)| *other == new), "{new} is renamed too");
        let problems = outbound::problems(&outbound_with("/waiting", json!({ old: "x" })));
        assert!(problems[0].starts_with(&format!("outbound.waiting: unknown field `{old}`")), "{problems:?}");
        let problems = outbound::problems(&outbound_with("/position", json!(old)));
        assert_eq!(problems, ["outbound.position: expected one of downstream, upstream"]);
    }
}
