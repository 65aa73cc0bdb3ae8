//! An exchanged token that was a little longer than its client's share of the memory was thrown away when it came and asked for
//! again at once, as fast as the server answered.

use attache::outbound::MAX_EXCHANGED_BYTES;
use serde_json::json;

use super::exchanging::{caller, exchange, issued, proxy, settled};
use crate::outbound::to;

#[test]
fn each_length_is_kept_or_refused_after_one_request() {
    const CLIENTS: usize = 8_000;
    let clients: Vec<_> = (0..CLIENTS).map(|number| exchange(&format!("c{number}"), json!({}))).collect();
    let (mut proxy, key) = proxy(&clients);
    let share = MAX_EXCHANGED_BYTES / CLIENTS;
    let (mut kept, mut refused) = (0, 0);
    for length in (share - 500..share).step_by(10) {
        let before = proxy.calls("sts");
        proxy.serve("sts", issued(&"x".repeat(length), 3600));
        match settled(&mut proxy, to("c0").bearer(&caller(&key, length))).tells().as_str() {
            "forwarded" => kept += 1,
            "403 subject_refused" => refused += 1,
            other => panic!("{length}: {other}"),
        }
        assert_eq!(proxy.calls("sts"), before + 1, "{length}");
    }
    assert!(kept > 0 && refused > 0);
}
