//! A token with a comma in it was not known again in the header's value, which is taken apart at commas: at the next attempt it
//! passed for the caller's own.

use super::exchanging::issued;
use crate::outbound::{document, to};
use crate::proxy::Proxy;

#[test]
fn a_token_with_a_comma_is_refused() {
    let mut proxy = Proxy::new(&document(serde_json::json!({})));
    proxy.serve("idp", issued("one,two", 60));
    proxy.tick();
    proxy.tick();
    assert_eq!(
        proxy.counter("client=.=billing;.;result=.=token_characters;.;attache_token_requests_total"),
        1
    );
    assert_ne!(proxy.request(to("billing")).tells(), "forwarded");
}
