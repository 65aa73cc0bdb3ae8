//! All bounds of one VM, added up: wasm memory never shrinks, so what can be reached once is held for ever: at most
//! 256 MiB by default.

use attache::base::MAX_WAITING_BYTES;
use attache::config::{MAX_CLIENTS, MAX_CONFIG_BYTES, MAX_ISSUERS, MAX_KEY_SOURCES};
use attache::inbound::MAX_DENIED_TOKENS;
use attache::issuer::MAX_KEYS_BYTES;
use attache::jose::{MAX_KEY_SET_BYTES, MAX_KNOWN_HEADER_BYTES, MAX_KNOWN_HEADERS, MAX_TOKEN_BYTES};
use attache::outbound::{
    MAX_EXCHANGED_BYTES, MAX_KNOWN_EXCHANGED_TOKENS, MAX_KNOWN_TOKENS, MAX_PENDING_BYTES, MAX_TOKENS_BYTES,
};
use attache::telemetry::{MAX_CLIENT_SERIES, MAX_SERIES, MAX_STREAM_SERIES};
use serde_json::json;

use crate::proxy::{compile, config};

const MIB: usize = 1024 * 1024;

/// A source of keys: its address and what is known of its document.
const SOURCE: usize = 2048;
/// What a document becomes while it is read: its bytes twice, and a tree with some 32 bytes a node, of which each takes at
/// least two characters; then the table, of which half stays.
const DOCUMENT_FACTOR: usize = 6;
/// A client of the outbound half, beside its token: what it asks for, and what is known of its attempts.
const CLIENT: usize = 1024;
/// A stream that ends with its token: a node of a tree, half full at worst, and a place in a map that is half empty.
const STREAM: usize = 128;
/// A token that is known again: twice its hash, in a ring and in a map.
const KNOWN: usize = 64;
/// A series: its name twice and a node of the map.
const SERIES: usize = 1024;
/// A series of a client: its name and a node of the map; nothing of it is in an access log.
const CLIENT_SERIES: usize = 512;

#[test]
fn the_maxima_of_one_vm_fit_by_default() {
    let defaults = compile(&config(json!({}))).unwrap().inbound.unwrap();
    let parts = [
        ("waiting requests, one list for each of two reasons", 2 * MAX_WAITING_BYTES),
        ("waiting requests, beside their headers", 2 * defaults.waiting.requests * 256),
        ("verified tokens", defaults.cache.unwrap().bytes),
        ("buckets of the token cache", defaults.cache.unwrap().entries * 32),
        ("keys of all issuers", MAX_KEYS_BYTES),
        ("issuers, beside their keys", MAX_ISSUERS * MAX_KEY_SOURCES * SOURCE),
        ("tokens of unknown keys, and of keys that did not verify them", 2 * MAX_DENIED_TOKENS * 256),
        ("headers of tokens, and what they say", MAX_KNOWN_HEADERS * 2 * (MAX_KNOWN_HEADER_BYTES + 64)),
        ("one key set while it is read", MAX_KEY_SET_BYTES * DOCUMENT_FACTOR),
        ("the configuration", MAX_CONFIG_BYTES * DOCUMENT_FACTOR),
        ("metrics of requests and of fetches", 2 * MAX_SERIES * SERIES),
        ("decisions by client, and the clients' names", MAX_CLIENT_SERIES * CLIENT_SERIES),
        ("the request at hand: its headers and its token", MIB + MAX_TOKEN_BYTES * DOCUMENT_FACTOR),
        ("requests that wait for tokens", MAX_WAITING_BYTES),
        ("our own tokens", MAX_TOKENS_BYTES),
        ("exchanged tokens, and callers' that wait for it", MAX_EXCHANGED_BYTES + MAX_PENDING_BYTES),
        ("clients, beside their tokens", MAX_CLIENTS * (CLIENT + MAX_KNOWN_TOKENS * KNOWN)),
        ("exchanged tokens that are known again", MAX_KNOWN_EXCHANGED_TOKENS * KNOWN),
        ("metrics of what goes out", 2 * MAX_SERIES * SERIES),
        ("code, stack and constants", 4 * MIB),
    ];
    let sum: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    assert!(sum <= 256 * MIB, "{} MiB: {parts:#?}", sum / MIB);
}

/// By default no stream ends with its token, and none is kept.
#[test]
fn streams_that_end_with_their_token_add_little() {
    let defaults = compile(&config(json!({}))).unwrap().inbound.unwrap();
    assert_eq!(defaults.streams, None);
    let ends = compile(&config(json!({ "streams": { "end": "at_expiry" } }))).unwrap().inbound.unwrap();
    let (streams, metrics) = (ends.streams.unwrap().max * STREAM, MAX_STREAM_SERIES * SERIES);
    assert!(streams + metrics <= 3 * MIB);
}
