//! The kept corpora through their targets: natively, and in V8, whose numbers are Envoy's (`usize` has 32 bits there).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use attache_fuzz::{Target, corpus};
use wasm_bindgen_test::wasm_bindgen_test;

/// At most so much for all targets, so that each change can replay it.
const MAX_CORPORA_BYTES: usize = 400 * 1024;

fn replay(name: &str) {
    let target = Target::named(name).unwrap();
    let inputs = corpus::inputs(target);
    assert!(inputs.len() >= 20, "only {} inputs", inputs.len());
    for input in &inputs {
        assert!(input.len() <= target.max_bytes, "an input of {} bytes", input.len());
        (target.run)(input);
    }
}

macro_rules! replays {
    ($($name:ident)*) => {
        $(#[wasm_bindgen_test(unsupported = test)]
        fn $name() {
            replay(stringify!($name));
        })*

        #[wasm_bindgen_test(unsupported = test)]
        fn every_target_is_replayed() {
            let replayed = [$(stringify!($name)),*];
            let names: Vec<&str> = attache_fuzz::TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, replayed);
        }
    };
}

replays! { answers config filter jwks keys mcp pairs path token }

#[wasm_bindgen_test(unsupported = test)]
fn the_corpora_are_small() {
    let bytes: usize = attache_fuzz::TARGETS.iter().map(|target| target.corpus.len()).sum();
    assert!(bytes <= MAX_CORPORA_BYTES, "{bytes} bytes");
}
