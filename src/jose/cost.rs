//! What a signature check takes of a worker's time, by an estimate that is the same on every machine: what failing
//! checks may cost is measured by it, and not by a clock, which the core does not read.
//!
//! The figures are those of one check in Envoy on a slow core of today, parsing the key and the call included, each the
//! upper end of what was measured (docs/performance.md, "What a failing check costs"): rather too much than too little.

use core::time::Duration;

use super::algorithm::{Algorithm, Hash, Scheme};
use super::crypto::Engine;
use super::key::Key;

/// What it costs to check a signature over a message of so many bytes.
pub(super) fn of_check(engine: Engine, algorithm: Algorithm, key: &Key, message_bytes: usize) -> Duration {
    let (rsa, p256, p384, p521, hashing) = match engine {
        Engine::Envoy => (ENVOY_RSA, ENVOY_P256, ENVOY_P384, ENVOY_P521, ENVOY_KIB),
        Engine::RustCrypto => {
            (RUST_CRYPTO_RSA, RUST_CRYPTO_P256, RUST_CRYPTO_P384, RUST_CRYPTO_P521, RUST_CRYPTO_KIB)
        }
    };
    let arithmetic = match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::Hmac, _) => HMAC,
        (Scheme::RsaPkcs1 | Scheme::RsaPss, _) => {
            // A signature is as long as the modulus, and a multiplication costs the square of it.
            let bytes = u32::try_from(key.signature_len(algorithm)).unwrap_or(u32::MAX);
            let square = rsa.saturating_mul(bytes).saturating_mul(bytes);
            square.checked_div(RSA_BYTES.saturating_mul(RSA_BYTES)).unwrap_or(square)
        }
        (Scheme::Ecdsa, Hash::Sha256) => p256,
        (Scheme::Ecdsa, Hash::Sha384) => p384,
        (Scheme::Ecdsa, Hash::Sha512) => p521,
        (Scheme::EdDsa, _) => ED25519,
    };
    let kibibytes = u32::try_from(message_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
    arithmetic.saturating_add(hashing.saturating_mul(kibibytes))
}

/// The size for which the costs of RSA are given: a modulus of 2048 bits.
const RSA_BYTES: u32 = 256;

/// BoringSSL, RSASSA-PKCS1-v1_5 with 2048 bits: 15 to 26 µs.
const ENVOY_RSA: Duration = Duration::from_micros(26);
/// 36 to 64 µs.
const ENVOY_P256: Duration = Duration::from_micros(64);
/// 650 to 900 µs natively.
const ENVOY_P384: Duration = Duration::from_micros(900);
/// Not measured: twice P-384, by the sizes of the fields.
const ENVOY_P521: Duration = Duration::from_micros(1_800);
/// Hashing, and the copies that the call makes.
const ENVOY_KIB: Duration = Duration::from_micros(2);

/// RSASSA-PSS with 2048 bits: 193 to 360 µs; with 4096, 825 to 1,125.
const RUST_CRYPTO_RSA: Duration = Duration::from_micros(360);
/// 480 µs.
const RUST_CRYPTO_P256: Duration = Duration::from_micros(480);
/// 1,900 to 2,600 µs.
const RUST_CRYPTO_P384: Duration = Duration::from_micros(2_600);
/// Not measured: twice P-384, by the sizes of the fields.
const RUST_CRYPTO_P521: Duration = Duration::from_micros(5_200);
/// 73 to 136 µs, in either engine: Envoy checks none for wasm.
const ED25519: Duration = Duration::from_micros(136);
/// Both hashes and the comparison.
const HMAC: Duration = Duration::from_micros(5);
/// SHA-256 in wasm: 1.1 to 2.3 µs for 388 bytes.
const RUST_CRYPTO_KIB: Duration = Duration::from_micros(6);

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
mod tests {
    use super::super::KeySet;
    use super::*;

    fn rsa(bytes: usize) -> Key {
        use base64ct::{Base64UrlUnpadded, Encoding as _};
        let n = Base64UrlUnpadded::encode_string(&vec![0xff; bytes]);
        let set = format!(r#"{{"keys":[{{"kty":"RSA","e":"AQAB","n":"{n}"}}]}}"#);
        Key::clone(KeySet::parse(set.as_bytes()).unwrap().set.iter().next().unwrap())
    }

    #[test]
    fn a_check_costs_the_square_of_the_modulus_and_more_where_envoy_does_not_help() {
        let cost = |engine, algorithm, bytes| of_check(engine, algorithm, &rsa(bytes), 0);
        assert_eq!(cost(Engine::Envoy, Algorithm::Rs256, 256), Duration::from_micros(26));
        assert_eq!(cost(Engine::Envoy, Algorithm::Rs256, 512), Duration::from_micros(4 * 26));
        assert_eq!(cost(Engine::RustCrypto, Algorithm::Ps256, 512), Duration::from_micros(4 * 360));
        assert_eq!(cost(Engine::RustCrypto, Algorithm::Ps512, 1024), Duration::from_micros(16 * 360));
    }

    #[test]
    fn a_long_message_costs_its_hashing() {
        let cost = |engine, bytes| of_check(engine, Algorithm::Rs256, &rsa(256), bytes);
        let more = |engine| cost(engine, 16 * 1024) - cost(engine, 0);
        assert_eq!((more(Engine::Envoy), more(Engine::RustCrypto)), (ENVOY_KIB * 16, RUST_CRYPTO_KIB * 16));
        assert_eq!(cost(Engine::Envoy, 1), cost(Engine::Envoy, 1024));
    }
}
