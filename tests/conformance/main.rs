//! Signature checks against vectors that others have made: each engine gives the right answer on every one.

#![cfg(not(target_family = "wasm"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, missing_docs)]
#![allow(clippy::wildcard_enum_match_arm, clippy::panic, clippy::expect_used, clippy::string_slice)]

mod second_opinion;
mod vectors;

use attache::jose::RustCrypto;

#[test]
fn the_portable_engine_answers_every_vector_right() {
    let vectors = vectors::all();
    let (ran, wrong) = vectors::run(&RustCrypto, &vectors);
    assert!(wrong.is_empty(), "{} wrong answers:\n{}", wrong.len(), wrong.join("\n"));
    for (algorithm, least) in vectors::AT_LEAST {
        let count = ran.get(algorithm).copied().unwrap_or_default();
        assert!(count >= least, "only {count} vectors for {algorithm}, expected {least}");
    }
}
