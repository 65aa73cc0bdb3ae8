//! libFuzzer around one target, which the variable `ATTACHE_FUZZ_TARGET` names.

#![no_main]

use std::sync::LazyLock;

use attache_fuzz::Target;
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("ATTACHE_FUZZ_TARGET").expect("ATTACHE_FUZZ_TARGET names a target");
    Target::named(&name).expect("ATTACHE_FUZZ_TARGET names a target")
});

fuzz_target!(|data: &[u8]| (TARGET.run)(data));

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    match (TARGET.mutate)(&data[..size], seed) {
        Some(input) if input.len() <= max_size => {
            data[..input.len()].copy_from_slice(&input);
            input.len()
        }
        _ => fuzzer_mutate(data, size, max_size),
    }
});
