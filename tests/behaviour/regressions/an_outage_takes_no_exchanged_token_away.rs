//! While the server was down, callers who could not be served pushed out the tokens of those who could.

use serde_json::json;

use super::exchanging::{caller, exchange, issued, proxy, settled};
use crate::outbound::to;
use crate::proxy::{Time as _, status};

#[test]
fn those_who_have_a_token_keep_it_while_others_ask_in_vain() {
    let (mut proxy, key) = proxy(&[exchange("billing", json!({ "tokens": 4 }))]);
    proxy.serve("sts", issued("t", 3600));
    let lucky: Vec<_> = (0..4).map(|number| caller(&key, number)).collect();
    for token in &lucky {
        assert_eq!(settled(&mut proxy, to("billing").bearer(token)).tells(), "forwarded");
    }
    proxy.serve("sts", status(503));
    for number in 4..40 {
        let answer = proxy.request(to("billing").bearer(&caller(&key, number)));
        assert_ne!(answer.tells(), "forwarded");
        proxy.advance(500.ms());
    }
    for token in &lucky {
        assert_eq!(proxy.request(to("billing").bearer(token)).tells(), "forwarded");
    }
}
