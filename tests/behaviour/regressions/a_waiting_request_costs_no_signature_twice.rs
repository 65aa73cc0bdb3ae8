//! A forged token without a key id was checked against every key when it came, and against the same keys again when it was
//! woken; and only the second round was counted.

use serde_json::json;

use crate::proxy::Time as _;
use crate::proxy::{Proxy, Request, Signer, config};

#[test]
fn keys_that_failed_a_token_are_not_tried_again() {
    let (key, stranger) = (Signer::new("k1"), Signer::new("k2"));
    let mut proxy = Proxy::ready(&config(json!({})), &[&key]);
    let forged = stranger.named(None).token().sign();
    let waits = proxy.request(Request::get("/orders").bearer(&forged)).waiting();
    assert_eq!(proxy.signature_checks(), 1);
    proxy.advance(5.secs());
    assert_eq!(proxy.answer(waits).tells(), "401 signature_invalid");
    assert_eq!(proxy.signature_checks(), 1);
    assert_eq!(proxy.counter("engine=.=portable;.;attache_signature_checks_total"), 1);
}
