#![allow(clippy::arithmetic_side_effects, clippy::string_slice, clippy::unwrap_in_result)]

use super::super::key::MAX_SECRET_BYTES;
use super::*;
use crate::base::Excerpt;
use crate::base::Secret;

const EC: &str = r#""kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
const OKP: &str = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
const OCT: &str = r#""kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow""#;

fn document(keys: &[String]) -> String {
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

fn parse_keys(keys: &[String]) -> ParsedKeySet {
    KeySet::parse(document(keys).as_bytes()).unwrap()
}

fn named(key: &str, kid: &str) -> String {
    format!(r#"{{{key},"kid":"{kid}"}}"#)
}

fn secret(byte: u8, kid: Option<&str>) -> Key {
    Key::symmetric(Secret::new([byte; 32]), kid.map(str::to_owned)).unwrap()
}

fn tried(set: &KeySet, algorithm: Algorithm, kid: Option<&str>) -> Vec<Option<String>> {
    set.candidates(algorithm, kid).map(|key| key.kid().map(str::to_owned)).collect()
}

#[test]
fn unusable_keys_are_skipped_with_their_reason_and_spoil_nothing() {
    let keys = [
        named(EC, "a"),
        r#"{"kty":"AKP","kid":"b"}"#.to_owned(),
        "7".to_owned(),
        format!(r#"{{{EC},"use":"enc"}}"#),
        named(OKP, "c"),
    ];
    let parsed = parse_keys(&keys);
    assert_eq!(parsed.set.iter().filter_map(|key| key.kid()).collect::<Vec<_>>(), ["a", "c"]);
    let skipped = [
        SkippedKey { index: 1, kid: Some(Excerpt::of("b", 64)), why: KeyError::KeyType },
        SkippedKey { index: 2, kid: None, why: KeyError::NotAnObject },
        SkippedKey { index: 3, kid: None, why: KeyError::Use },
    ];
    assert_eq!(parsed.skipped.0, skipped);
    let told = "`b`: `kty` is not RSA, EC, OKP or oct; keys[2]: not an object; keys[3]: `use` is not sig";
    assert_eq!(parsed.skipped.to_string(), told);
    assert!(!parsed.private_members);
}

#[test]
fn a_symmetric_key_is_never_taken_from_a_fetched_document() {
    let document = document(&[named(OCT, "s"), named(EC, "a")]);
    let fetched = KeySet::parse(document.as_bytes()).unwrap();
    let kid = Some(Excerpt::of("s", 64));
    assert_eq!(fetched.skipped.0, [SkippedKey { index: 0, kid, why: KeyError::Symmetric }]);
    assert_eq!(fetched.set.len(), 1);
    let inline = KeySet::parse_inline(document.as_bytes()).unwrap();
    assert_eq!((inline.set.len(), inline.skipped.len()), (2, 0));
    assert!(!inline.private_members);
}

#[test]
fn private_members_are_dropped_and_reported() {
    let public = parse_keys(&[named(EC, "a")]);
    let private =
        parse_keys(&[format!(r#"{{{EC},"kid":"a","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}}"#)]);
    assert!(private.private_members);
    let id = |parsed: &ParsedKeySet| parsed.set.iter().next().unwrap().id();
    assert_eq!(id(&public), id(&private));
    let unusable = parse_keys(&[r#"{"kty":"RSA","n":"AQ","e":"AQAB","p":"AQ"}"#.to_owned()]);
    assert!(unusable.private_members && unusable.set.is_empty());
}

/// seen in other filters: an unknown `kid` falls back to the first key; an empty set traps.
#[test]
fn a_kid_never_falls_back_to_a_key_of_another_name() {
    let set = parse_keys(&[named(EC, "a"), named(OKP, "b")]).set;
    assert_eq!(tried(&set, Algorithm::Es256, Some("c")), []);
    assert_eq!(tried(&set, Algorithm::Es256, Some("A")), []);
    assert_eq!(tried(&set, Algorithm::Es256, Some("b")), []);
    assert_eq!(tried(&set, Algorithm::Es256, Some("a")), [Some("a".to_owned())]);
    assert_eq!(tried(&KeySet::default(), Algorithm::Es256, None), []);
    assert_eq!(tried(&KeySet::default(), Algorithm::Es256, Some("a")), []);
}

#[test]
fn two_keys_of_one_name_are_both_tried() {
    let set = KeySet::new(vec![secret(1, Some("a")), secret(2, Some("a")), secret(3, Some("b"))]);
    assert_eq!(tried(&set, Algorithm::Hs256, Some("a")).len(), 2);
}

#[test]
fn keys_without_a_name_answer_only_for_names_that_no_key_bears() {
    let set = KeySet::new(vec![secret(1, None), secret(2, Some("a"))]);
    assert_eq!(tried(&set, Algorithm::Hs256, Some("x")), [None]);
    assert_eq!(tried(&set, Algorithm::Hs256, Some("a")), [Some("a".to_owned())]);
    assert_eq!(tried(&set, Algorithm::Hs512, Some("a")), []);
    assert_eq!(tried(&set, Algorithm::Hs256, None), [None, Some("a".to_owned())]);
    assert!(set.has_kid("a") && !set.has_kid("x"));
}

#[test]
fn a_token_without_a_name_is_tried_with_every_compatible_key_and_those_without_a_name_first() {
    let mut keys: Vec<_> = (0..12).map(|n| secret(n, Some(&n.to_string()))).collect();
    let okp = KeySet::parse(document(&[named(OKP, "ed")]).as_bytes()).unwrap().set;
    keys.insert(0, Key::clone(okp.iter().next().unwrap()));
    keys.push(secret(12, None));
    let set = KeySet::new(keys);
    let names = tried(&set, Algorithm::Hs256, None);
    assert_eq!(names[0], None);
    assert_eq!(names[1..], (0..12).map(|n| Some(n.to_string())).collect::<Vec<_>>());
    assert_eq!(tried(&set, Algorithm::EdDsa, None), [Some("ed".to_owned())]);
}

#[test]
fn a_key_is_itself_only_with_its_name_and_its_algorithms() {
    let first = |keys: &[String]| parse_keys(keys).set;
    let rsa = format!(r#""kty":"RSA","e":"AQAB","n":"{}w""#, "_".repeat(341));
    let id = |text: String| first(&[text]).iter().next().unwrap().id();
    let plain = id(format!("{{{rsa}}}"));
    let ids = [
        plain,
        id(format!(r#"{{{rsa},"kid":"a"}}"#)),
        id(format!(r#"{{{rsa},"alg":"RS256"}}"#)),
        id(format!(r#"{{{rsa},"alg":"PS256"}}"#)),
    ];
    let mut distinct = ids.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), ids.len());
    for same in
        [r#""use":"sig""#, r#""use":"jwt-svid""#, r#""kid":"""#, r#""kid":7"#, r#""alg":"""#, r#""alg":null"#]
    {
        assert_eq!(plain, id(format!("{{{rsa},{same}}}")), "{same}");
    }
    assert!(first(&[format!("{{{rsa}}}")]).contains(&plain));
    assert!(!first(&[named(EC, "a")]).contains(&plain));
}

#[test]
fn a_key_that_comes_twice_is_kept_once() {
    assert_eq!(parse_keys(&[named(EC, "a"), named(EC, "a"), named(EC, "b")]).set.len(), 2);
}

#[test]
fn keys_are_bounded_at_their_limit() {
    let keys = |count: usize| vec![named(EC, "a"); count];
    assert!(KeySet::parse(document(&keys(MAX_KEYS)).as_bytes()).is_ok());
    let error = KeySet::parse(document(&keys(MAX_KEYS + 1)).as_bytes()).unwrap_err();
    assert_eq!(error, KeySetError::TooManyKeys { keys: MAX_KEYS + 1 });
}

#[test]
fn bytes_are_bounded_at_their_limit() {
    let full = |bytes: usize| format!(r#"{{"keys":[]{}}}"#, " ".repeat(bytes - 11));
    assert!(KeySet::parse(full(MAX_KEY_SET_BYTES).as_bytes()).unwrap().set.is_empty());
    let over = MAX_KEY_SET_BYTES + 1;
    assert_eq!(KeySet::parse(full(over).as_bytes()).unwrap_err(), KeySetError::TooLong { bytes: over });
}

#[test]
fn the_largest_documents_fit_the_value_limit() {
    let chain = ["\"AAAA\""; 5].join(",");
    let members = r#""use":"sig","alg":"ES256","x5t":"a","x5t#S256":"a","key_ops":["verify"]"#;
    let key = |n: usize| format!(r#"{{{EC},"kid":"{n}",{members},"x5c":[{chain}]}}"#);
    let keys: Vec<_> = (0..MAX_KEYS).map(key).collect();
    assert_eq!(parse_keys(&keys).set.len(), MAX_KEYS);
}

#[test]
fn united_sets_take_turns_and_name_no_key_twice() {
    let set = |bytes: core::ops::Range<u8>| {
        KeySet::new(bytes.map(|byte| secret(byte, Some(&byte.to_string()))).collect())
    };
    let (first, second) = (set(0..8), set(6..14));
    let united = KeySet::united(&[&first, &second]);
    assert_eq!(united.len(), 14);
    let names: Vec<_> = united.iter().filter_map(|key| key.kid()).take(8).collect();
    assert_eq!(names, ["0", "6", "1", "7", "2", "8", "3", "9"]);
    assert_eq!(tried(&united, Algorithm::Hs256, None).len(), 14);
}

#[test]
fn what_is_no_key_set_is_an_error() {
    let error = |text: &str| KeySet::parse(text.as_bytes()).unwrap_err();
    assert_eq!(error("{}"), KeySetError::KeysMissing);
    assert_eq!(error(r#"{"keys":{}}"#), KeySetError::KeysType);
    assert_eq!(error(r#"{"keys":[],"keys":[]}"#), KeySetError::Json(JsonError::DuplicateMember));
    assert_eq!(error("[]"), KeySetError::Json(JsonError::NotAnObject));
    assert_eq!(error("<html>"), KeySetError::Json(JsonError::Syntax { line: 1, column: 1 }));
}

#[test]
fn every_error_says_what_is_wrong() {
    let errors = [
        (KeySetError::TooLong { bytes: 300_000 }, "the key set has 300000 bytes, more than 262144"),
        (KeySetError::Json(JsonError::NotAnObject), "the key set: not an object"),
        (KeySetError::KeysMissing, "`keys` is missing"),
        (KeySetError::KeysType, "`keys` is not an array"),
        (KeySetError::TooManyKeys { keys: 129 }, "the key set has 129 keys, more than 128"),
    ];
    for (error, text) in errors {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn a_configured_secret_has_bounds() {
    let error = |bytes: usize| Key::symmetric(Secret::new(vec![0; bytes]), None).unwrap_err();
    assert_eq!(error(31), KeyError::SecretTooShort { bytes: 31, least: 32 });
    assert_eq!(error(MAX_SECRET_BYTES + 1), KeyError::SecretTooLong { bytes: MAX_SECRET_BYTES + 1 });
}
