//! The count of a client's entries grew with each that replaced one of its own, so that a busy client ended up with a weight
//! and without a token.

use crate::token_cache::Bench;

#[test]
fn the_weight_of_a_client_is_what_it_holds() {
    let mut bench = Bench::new(8, 1 << 20, 1);
    for n in 0..100 {
        bench.insert(0, &bench.of("busy", n));
    }
    for n in 0..8 {
        bench.insert(0, &bench.of(&format!("light-{n}"), n));
    }
    // Each of the others holds one entry now, and so may the busy one.
    let again = bench.insert(0, &bench.of("busy", 1000));
    assert!(bench.holds(&again));
}
