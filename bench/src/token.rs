//! Access tokens in numbers: made on all cores, no two alike.

use std::cell::RefCell;
use std::num::NonZero;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use attache_harness::jws::TokenWriter;
use fastrand::Rng;
use serde_json::json;

use crate::key::{Algorithm, Key};

/// Who signs, and as whom.
pub(crate) struct Issuer {
    /// The `iss`.
    pub(crate) identifier: String,
    pub(crate) keys: Vec<Key>,
}

impl Issuer {
    /// The key of this algorithm.
    pub(crate) fn key(&self, algorithm: Algorithm) -> Result<&Key> {
        let key = self.keys.iter().find(|key| key.algorithm == algorithm);
        key.with_context(|| format!("the issuer has no key for {}", algorithm.name()))
    }
}

/// What is wrong with a token, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    /// It holds another scope.
    Scope,
    /// It expired an hour ago.
    Expired,
    /// Its signature is random bytes.
    Forged,
    /// The same, of a client that is not known, as one of many. Perhaps it names no key.
    Flood {
        names_key: bool,
    },
}

/// A token to be made.
#[derive(Clone, Copy)]
pub(crate) struct Order<'k> {
    pub(crate) issuer: &'k str,
    pub(crate) key: &'k Key,
    pub(crate) flaw: Flaw,
}

/// Makes the tokens that are ordered, in order. The seed must be another one each time, or tokens come again.
pub(crate) fn mint(orders: &[Order<'_>], seed: u64) -> Result<Vec<String>> {
    let cores = thread::available_parallelism().map_or(1, NonZero::get);
    let share = orders.len().div_ceil(cores).max(1);
    let now =
        SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970: set it")?.as_secs();
    thread::scope(|scope| {
        let workers: Vec<_> = orders
            .chunks(share)
            .zip(0_u64..)
            .map(|(orders, worker)| {
                // Neighbouring seeds give neighbouring first numbers only; ids are 16 bytes.
                let mut rng = Rng::with_seed(seed.wrapping_mul(WORKERS).wrapping_add(worker));
                scope.spawn(move || {
                    orders.iter().map(|order| token(order, now, &mut rng)).collect::<Result<Vec<_>>>()
                })
            })
            .collect();
        let mut tokens = Vec::with_capacity(orders.len());
        for worker in workers {
            tokens.extend(worker.join().ok().context("a thread that makes tokens ended early")??);
        }
        Ok(tokens)
    })
}

fn token(order: &Order<'_>, now: u64, rng: &mut Rng) -> Result<String> {
    let client = match order.flaw {
        Flaw::Flood { .. } => "stranger".to_owned(),
        Flaw::Nothing | Flaw::Scope | Flaw::Expired | Flaw::Forged => {
            format!("client-{:02}", rng.u8(..CLIENTS))
        }
    };
    let (issued, expires) = match order.flaw {
        Flaw::Expired => (now - 2 * HOUR, now - HOUR),
        Flaw::Nothing | Flaw::Scope | Flaw::Forged | Flaw::Flood { .. } => (now, now + 6 * HOUR),
    };
    let claims = json!({
        "iss": order.issuer,
        "sub": client,
        "client_id": client,
        "aud": AUDIENCE,
        "scope": if order.flaw == Flaw::Scope { OTHER_SCOPES } else { SCOPES },
        "iat": issued,
        "exp": expires,
        "jti": format!("{:032x}", rng.u128(..)),
    });
    let algorithm = order.key.algorithm;
    let writer = TokenWriter {
        algorithm: algorithm.name(),
        typ: Some("at+jwt"),
        kid: (order.flaw != Flaw::Flood { names_key: false }).then_some(&*order.key.kid),
        thumbprint: None,
    };
    let rng = RefCell::new(rng);
    writer.write(claims, |message| {
        let mut rng = rng.borrow_mut();
        Ok(match order.flaw {
            Flaw::Forged | Flaw::Flood { .. } => {
                let mut bytes = vec![0; algorithm.signature_length()];
                rng.fill(&mut bytes);
                // Below any modulus, so that no engine is done before the arithmetic.
                bytes[0] &= 0x3f;
                bytes
            }
            Flaw::Nothing | Flaw::Scope | Flaw::Expired => order.key.sign(message, &mut rng),
        })
    })
}

/// The `aud` of every token.
pub(crate) const AUDIENCE: &str = "https://orders.example";
/// The scope that is required.
pub(crate) const SCOPE: &str = "orders:read";
const SCOPES: &str = "orders:read inventory:read";
/// No word of them is the scope, and the scope is part of one.
const OTHER_SCOPES: &str = "orders:readonly inventory:read";
/// A cache that gives each client its share has some to give to.
const CLIENTS: u8 = 50;
const HOUR: u64 = 3_600;
/// More than any machine has cores.
const WORKERS: u64 = 1 << 16;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_tokens_are_alike_within_a_batch_and_across_seeds() {
        let key = Key::generate("a".into(), Algorithm::EdDsa, &mut Rng::with_seed(1)).unwrap();
        let orders = vec![Order { issuer: "https://i.example", key: &key, flaw: Flaw::Nothing }; 100];
        let mut tokens = mint(&orders, 1).unwrap();
        tokens.extend(mint(&orders, 2).unwrap());
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 200);
    }
}
