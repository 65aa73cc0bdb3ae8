//! RSA keys that sign fast: 2,048 bits of eight primes in place of two, so that a signature takes a sixteenth of the
//! time. The public half is like any other, and so is the work of who verifies. Such keys are for measuring only: they
//! are weak.

use anyhow::{Context, Result, ensure};
use crypto_bigint::modular::{FixedMontyForm, FixedMontyParams};
use crypto_bigint::{NonZero, Odd, U256, U2048};
use crypto_primes::{Flavor, is_prime};
use fastrand::Rng;
use sha2::{Digest, Sha256};

/// A private key.
pub(crate) struct Modulus {
    n: NonZero<U2048>,
    factors: Vec<Factor>,
}

struct Factor {
    prime: NonZero<U256>,
    params: FixedMontyParams<{ U256::LIMBS }>,
    /// 1/e modulo p − 1.
    exponent: U256,
    /// n/p.
    rest: U2048,
    /// 1/(n/p) modulo p.
    inverse: FixedMontyForm<{ U256::LIMBS }>,
}

impl Modulus {
    /// Draws a key.
    pub(crate) fn generate(rng: &mut Rng) -> Result<Self> {
        let mut primes: Vec<(Odd<U256>, U256)> = Vec::new();
        while primes.len() < PRIMES {
            let drawn = draw_prime(rng);
            // A prime that stands there twice has no inverse below.
            if let Some(drawn) = drawn.filter(|new| primes.iter().all(|(prime, _)| *prime != new.0)) {
                primes.push(drawn);
            }
        }
        let product = |skip: Option<usize>| {
            let kept = primes.iter().enumerate().filter(|(place, _)| Some(*place) != skip);
            kept.fold(U2048::ONE, |product, (_, (prime, _))| product.wrapping_mul(prime.as_ref()))
        };
        let n = NonZero::new(product(None)).into_option().context("a modulus of zero")?;
        ensure!(n.bits() == U2048::BITS, "the modulus has {} bits of {}", n.bits(), U2048::BITS);
        let factor = |place: usize, prime: &Odd<U256>, exponent: U256| {
            let params = FixedMontyParams::new_vartime(*prime);
            let rest = product(Some(place));
            let inverse = FixedMontyForm::new(&rest.rem_vartime(prime.as_nz_ref()), &params).invert();
            let inverse = inverse.into_option().context("two primes of a modulus are the same")?;
            Ok(Factor { prime: *prime.as_nz_ref(), params, exponent, rest, inverse })
        };
        let factors = primes.iter().enumerate();
        let factors = factors
            .map(|(place, (prime, exponent))| factor(place, prime, *exponent))
            .collect::<Result<_>>()?;
        Ok(Self { n, factors })
    }

    /// The modulus, big-endian.
    pub(crate) fn n(&self) -> Vec<u8> {
        self.n.to_be_bytes().as_ref().to_vec()
    }

    /// Signs as RS256 does (RFC 8017 §8.2.1).
    pub(crate) fn sign_pkcs1(&self, message: &[u8]) -> Vec<u8> {
        let digest = Sha256::digest(message);
        let padding = BYTES - 3 - DIGEST_INFO.len() - digest.len();
        let mut encoded = vec![0, 1];
        encoded.extend(std::iter::repeat_n(0xff, padding));
        encoded.push(0);
        encoded.extend(DIGEST_INFO);
        encoded.extend(digest);
        self.raise(&encoded)
    }

    /// Signs as PS256 does (RFC 8017 §8.1.1, §9.1.1), with a salt of the hash's length.
    pub(crate) fn sign_pss(&self, message: &[u8], salt: [u8; 32]) -> Vec<u8> {
        let hash = Sha256::new()
            .chain_update([0; 8])
            .chain_update(Sha256::digest(message))
            .chain_update(salt)
            .finalize();
        let mut block = vec![0; BYTES - salt.len() - hash.len() - 2];
        block.push(1);
        block.extend(salt);
        let masks = (0_u32..)
            .flat_map(|count| Sha256::new().chain_update(hash).chain_update(count.to_be_bytes()).finalize());
        for (byte, mask) in block.iter_mut().zip(masks) {
            *byte ^= mask;
        }
        block[0] &= 0x7f;
        block.extend(hash);
        block.push(0xbc);
        self.raise(&block)
    }

    /// c^d modulo n, by the Chinese remainder theorem.
    fn raise(&self, encoded: &[u8]) -> Vec<u8> {
        let encoded = U2048::from_be_slice(encoded);
        let sum = self.factors.iter().fold(U2048::ZERO, |sum, factor| {
            let base = FixedMontyForm::new(&encoded.rem_vartime(&factor.prime), &factor.params);
            let share = base.pow_vartime(&factor.exponent).mul(&factor.inverse).retrieve();
            sum.add_mod(&factor.rest.wrapping_mul(&share), &self.n)
        });
        sum.to_be_bytes().as_ref().to_vec()
    }
}

/// Draws a number; a prime and 1/e modulo p − 1, if it is one.
fn draw_prime(rng: &mut Rng) -> Option<(Odd<U256>, U256)> {
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    // Eight numbers with these leading bits have a product of 2,048 bits.
    bytes[0] |= 0xf0;
    bytes[31] |= 1;
    let candidate = U256::from_be_slice(&bytes);
    if !is_prime(Flavor::Any, &candidate) {
        return None;
    }
    let order = NonZero::new(candidate.wrapping_sub(&U256::ONE)).into_option()?;
    let exponent = U256::from_u64(EXPONENT).invert_mod(&order).into_option()?;
    Some((Odd::new(candidate).into_option()?, exponent))
}

/// The public exponent.
pub(crate) const EXPONENT: u64 = 65_537;
const PRIMES: usize = 8;
const BYTES: usize = 256;
/// SHA-256 in a DigestInfo (RFC 8017 §9.2, note 1).
const DIGEST_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

#[cfg(test)]
mod tests {
    use rsa::signature::Verifier;
    use rsa::{BoxedUint, RsaPublicKey, pkcs1v15, pss};
    use sha2::Sha256;

    use super::*;

    fn public(key: &Modulus) -> RsaPublicKey {
        RsaPublicKey::new(BoxedUint::from_be_slice(&key.n(), 2048).unwrap(), BoxedUint::from(EXPONENT))
            .unwrap()
    }

    #[test]
    fn another_implementation_accepts_its_signatures_and_no_others() {
        let key = Modulus::generate(&mut Rng::with_seed(1)).unwrap();
        let pkcs1 = pkcs1v15::VerifyingKey::<Sha256>::new(public(&key));
        let signature = key.sign_pkcs1(b"message");
        pkcs1.verify(b"message", &signature.as_slice().try_into().unwrap()).unwrap();
        assert!(pkcs1.verify(b"another", &signature.as_slice().try_into().unwrap()).is_err());
        let pss = pss::VerifyingKey::<Sha256>::new(public(&key));
        let signature = key.sign_pss(b"message", [7; 32]);
        pss.verify(b"message", &signature.as_slice().try_into().unwrap()).unwrap();
        assert!(pss.verify(b"another", &signature.as_slice().try_into().unwrap()).is_err());
    }
}
