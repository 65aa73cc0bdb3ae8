//! Signatures with a private RSA key (RFC 8017 §5.2.1, §8.1.1, §8.2.1), over the constant-time arithmetic that checking
//! them needs anyway. The `rsa` crate's own signing would take 190 KB of the module.
//!
//! The primes, exponents and intermediate values go through operations whose time depends on their lengths alone; each
//! base is blinded. Even so it is not as well examined as BoringSSL's, so [`SigningKey`](super::SigningKey) keeps it
//! behind a permission.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd, Resize as _};
use rsa::RsaPublicKey;
use rsa::traits::PublicKeyParts as _;
use sha2::Digest as _;
use sha2::digest::DynDigest;
use zeroize::{Zeroize as _, Zeroizing};

use super::key::without_zeros;
use crate::base::Random;

/// The numbers of an RSA key, big-endian (RFC 8017 §3.2).
pub(super) struct RsaNumbers<'n> {
    pub(super) modulus: &'n [u8],
    pub(super) public_exponent: &'n [u8],
    pub(super) private_exponent: &'n [u8],
    pub(super) primes: [&'n [u8]; 2],
    /// What the private exponent is modulo each prime less one.
    pub(super) exponents: [&'n [u8]; 2],
    /// The inverse of the second prime modulo the first.
    pub(super) coefficient: &'n [u8],
}

/// The private half of an RSA key, by the Chinese remainder theorem.
pub(super) struct RsaPrivateKey {
    public: RsaPublicKey,
    primes: [Prime; 2],
    coefficient: BoxedUint,
}

struct Prime {
    number: Odd<BoxedUint>,
    exponent: BoxedUint,
    /// The prime less two: a number to this power is the inverse of the number (Fermat).
    inversion: BoxedUint,
}

impl RsaPrivateKey {
    /// The key of these numbers, if they are one: each prime of at most half the modulus's bits, and what the private
    /// half does, `public` undoes.
    pub(super) fn new(public: &RsaPublicKey, numbers: &RsaNumbers<'_>) -> Option<Self> {
        // The lengths are those of the public half, whatever the private numbers are.
        let half = public.n().bits().div_ceil(2);
        let read = |number: &[u8], bits: u32| BoxedUint::from_be_slice(without_zeros(number), bits).ok();
        let whole = Zeroizing::new(read(numbers.private_exponent, public.n_bits_precision())?);
        let prime = |number: &[u8], exponent: &[u8]| {
            let number = read(number, half)?.into_odd().into_option()?;
            let exponent = read(exponent, half)?;
            let less_one = number.wrapping_sub(BoxedUint::one()).into_nz().into_option()?;
            if whole.rem(&less_one) != exponent {
                return None;
            }
            let inversion = less_one.wrapping_sub(BoxedUint::one());
            Some(Prime { number, exponent, inversion })
        };
        let [first, second] = numbers.primes;
        let [first_exponent, second_exponent] = numbers.exponents;
        let key = Self {
            public: public.clone(),
            primes: [prime(first, first_exponent)?, prime(second, second_exponent)?],
            coefficient: read(numbers.coefficient, half)?,
        };
        key.is_consistent().then_some(key)
    }

    /// How many bits the modulus has.
    pub(super) fn bits(&self) -> usize {
        usize::try_from(self.public.n().bits()).unwrap_or_default()
    }

    /// The signature of a block that is less than the modulus, or `None` when it would not verify: then the key or the
    /// source is unusable, and a wrong result could give the primes away.
    pub(super) fn sign(&self, block: &[u8], random: &dyn Random) -> Option<Vec<u8>> {
        let whole = self.public.n_params();
        let block = BoxedUint::from_be_slice(block, whole.bits_precision()).ok()?;
        let mask = self.mask(random)?;
        // (block · maskᵉ)ᵈ = blockᵈ · mask.
        let masked = self.raise(&mask).mul(&BoxedMontyForm::new(block.clone(), whole)).retrieve();
        let unmask = self.power(&mask, |prime| &prime.inversion);
        let signature = self.power(&masked, |prime| &prime.exponent).mul(&unmask).retrieve();
        if self.raise(&signature).retrieve() != block {
            return None;
        }
        // Limbs are longer than bytes: what is before the modulus's first byte is zero.
        let bytes = signature.to_be_bytes();
        let start = bytes.len().checked_sub(self.bits().div_ceil(8))?;
        bytes.get(start..).map(<[u8]>::to_vec)
    }

    /// An unpredictable number below the modulus. Sixteen bytes more than the modulus has leave no bias that matters.
    fn mask(&self, random: &dyn Random) -> Option<BoxedUint> {
        let bits = self.public.n_bits_precision().checked_add(128)?;
        let mut bytes = Zeroizing::new(vec![0; usize::try_from(bits.div_ceil(8)).ok()?]);
        random.fill(&mut bytes);
        Some(BoxedUint::from_be_slice(&bytes, bits).ok()?.rem(self.public.n()))
    }

    /// What the public half does.
    #[inline(never)]
    fn raise(&self, base: &BoxedUint) -> BoxedMontyForm {
        let exponent = self.public.e();
        BoxedMontyForm::new(base.clone(), self.public.n_params()).pow_bounded_exp(exponent, exponent.bits())
    }

    /// A power of `base`, by one exponent for each prime (RFC 8017 §5.1.2, step 2b).
    #[inline(never)]
    fn power(&self, base: &BoxedUint, exponent: fn(&Prime) -> &BoxedUint) -> BoxedMontyForm {
        let [first, second] = &self.primes;
        let params = BoxedMontyParams::new(first.number.clone());
        let first_power = reduced(base, &params).pow(exponent(first));
        let second_params = BoxedMontyParams::new(second.number.clone());
        let second_power = reduced(base, &second_params).pow(exponent(second)).retrieve();
        let difference = first_power.sub(&reduced(&second_power, &params));
        let lift = difference.mul(&reduced(&self.coefficient, &params)).retrieve();
        // Below the modulus, so that reducing by it changes nothing.
        let whole = self.public.n_params();
        let wide =
            |number: &BoxedUint| BoxedMontyForm::new(number.resize_unchecked(whole.bits_precision()), whole);
        wide(&lift).mul(&wide(second.number.as_ref())).add(&wide(&second_power))
    }

    /// Whether the two halves undo each other, tried with a number of no structure.
    fn is_consistent(&self) -> bool {
        let digest = sha2::Sha256::digest(self.public.n_bytes());
        let Ok(base) = BoxedUint::from_be_slice(&digest, self.public.n_bits_precision()) else {
            return false;
        };
        self.raise(&self.power(&base, |prime| &prime.exponent).retrieve()).retrieve() == base
    }
}

impl Drop for RsaPrivateKey {
    fn drop(&mut self) {
        for prime in &mut self.primes {
            prime.number.zeroize();
            prime.exponent.zeroize();
            prime.inversion.zeroize();
        }
        self.coefficient.zeroize();
    }
}

#[inline(never)]
fn reduced(number: &BoxedUint, params: &BoxedMontyParams) -> BoxedMontyForm {
    BoxedMontyForm::new(number.rem(params.modulus().as_nz_ref()), params)
}

/// EMSA-PKCS1-v1_5 (RFC 8017 §9.2) of `length` bytes. `prefix` names the hash.
pub(super) fn pkcs1_block(prefix: &[u8], hash: &[u8], length: usize) -> Vec<u8> {
    let padding = length.saturating_sub(prefix.len()).saturating_sub(hash.len()).saturating_sub(3);
    [&[0, 1], vec![0xff; padding].as_slice(), &[0], prefix, hash].concat()
}

/// EMSA-PSS (RFC 8017 §9.1.1) for a modulus of `bits` bits. MGF1 uses the same hash.
pub(super) fn pss_block(digest: &mut dyn DynDigest, hash: &[u8], salt: &[u8], bits: usize) -> Vec<u8> {
    [&[0; 8], hash, salt].into_iter().for_each(|part| digest.update(part));
    let salted = digest.finalize_reset();
    // One bit less than the modulus has.
    let bits = bits.saturating_sub(1);
    let length = bits.div_ceil(8);
    let padding = length.saturating_sub(salted.len()).saturating_sub(salt.len()).saturating_sub(2);
    let mut block = [vec![0; padding].as_slice(), &[1], salt].concat();
    for (counter, part) in (0_u32..).zip(block.chunks_mut(salted.len())) {
        digest.update(&salted);
        digest.update(&counter.to_be_bytes());
        part.iter_mut().zip(digest.finalize_reset()).for_each(|(byte, mask)| *byte ^= mask);
    }
    let spare = length.saturating_mul(8).saturating_sub(bits);
    if let Some(first) = block.first_mut() {
        *first &= (0..spare).fold(u8::MAX, |mask, _| mask >> 1);
    }
    block.extend_from_slice(&salted);
    block.push(0xbc);
    block
}
