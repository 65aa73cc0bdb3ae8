//! The targets by name.

mod answers;
mod config;
mod filter;
mod jwks;
mod keys;
mod mcp;
mod pairs;
mod path;
mod token;

/// One way in, with all that must hold behind it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name; its corpus and the test that replays it have the same.
    pub name: &'static str,
    /// Takes any bytes, and panics where something does not hold.
    pub run: fn(&[u8]),
    /// Changes an input where a change means something; `None` leaves it to a mutator that knows nothing. For a seed, the same
    /// each time.
    pub mutate: fn(&[u8], u32) -> Option<Vec<u8>>,
    /// The kept inputs, as [`crate::corpus`] writes them.
    pub corpus: &'static str,
    /// How long an input of use is at most, in bytes.
    pub max_bytes: usize,
}

impl Target {
    /// The target of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        TARGETS.iter().find(|target| target.name == name)
    }
}

macro_rules! targets {
    ($($name:ident up to $max_bytes:literal,)*) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target {
            name: stringify!($name),
            run: $name::run,
            mutate: $name::mutate,
            corpus: include_str!(concat!("../../corpus/", stringify!($name), ".txt")),
            max_bytes: $max_bytes,
        }),*];
    };
}

targets! {
    answers up to 2048,
    config up to 8192,
    filter up to 2048,
    jwks up to 4096,
    keys up to 4096,
    mcp up to 2048,
    pairs up to 2048,
    path up to 512,
    token up to 4096,
}
