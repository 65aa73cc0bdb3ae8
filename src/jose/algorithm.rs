//! The signature algorithms of RFC 7518 §3.1 and RFC 8037 §3.1, and small sets of them.
//!
//! Which of them a token may use is decided by key and configuration, never by the token (RFC 8725 §3.1).
//! `none` is not among them.

use strum::{Display, EnumString, IntoStaticStr};

/// A signature algorithm (`alg`).
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, Hash, IntoStaticStr, Ord, PartialEq, PartialOrd)]
#[strum(serialize_all = "UPPERCASE")]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256 and a salt of 32 bytes.
    Ps256,
    /// RSASSA-PSS with SHA-384 and a salt of 48 bytes.
    Ps384,
    /// RSASSA-PSS with SHA-512 and a salt of 64 bytes.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// Ed25519. `EdDSA` could also name Ed448 (RFC 8037 §3.1), which this filter does not speak; `Ed25519` says all
    /// there is to say, as the other names do (RFC 9864 §2.2).
    #[strum(to_string = "EdDSA", serialize = "Ed25519")]
    EdDsa,
}

/// What an algorithm does with the hash of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Hmac,
    RsaPkcs1,
    RsaPss,
    Ecdsa,
    EdDsa,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub(super) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// Every algorithm, in the order of their declaration.
    pub const ALL: [Self; 13] = {
        use Algorithm::{EdDsa, Es256, Es384, Es512, Hs256, Hs384, Hs512};
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        [Hs256, Hs384, Hs512, Rs256, Rs384, Rs512, Ps256, Ps384, Ps512, Es256, Es384, Es512, EdDsa]
    };

    /// The algorithm of this name. Names are case-sensitive (RFC 7515 §4.1.1). Two names may mean one algorithm: from
    /// here on only the algorithm counts, so that a key and a list allow both or neither.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The name in the registry of RFC 7518 §7.1.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the key that verifies can also sign.
    pub const fn is_symmetric(self) -> bool {
        matches!(self.scheme(), Scheme::Hmac)
    }

    pub(super) const fn scheme(self) -> Scheme {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Scheme::Hmac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 => Scheme::RsaPkcs1,
            Self::Ps256 | Self::Ps384 | Self::Ps512 => Scheme::RsaPss,
            Self::Es256 | Self::Es384 | Self::Es512 => Scheme::Ecdsa,
            Self::EdDsa => Scheme::EdDsa,
        }
    }

    pub(super) const fn hash(self) -> Hash {
        match self {
            Self::Hs256 | Self::Rs256 | Self::Ps256 | Self::Es256 => Hash::Sha256,
            Self::Hs384 | Self::Rs384 | Self::Ps384 | Self::Es384 => Hash::Sha384,
            Self::Hs512 | Self::Rs512 | Self::Ps512 | Self::Es512 | Self::EdDsa => Hash::Sha512,
        }
    }

    #[allow(clippy::as_conversions, reason = "the place in the declaration, below 13")]
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl Hash {
    /// How long it is, in bytes.
    pub(super) const fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// BoringSSL's name.
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// A set of algorithms.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AlgorithmSet(u16);

impl AlgorithmSet {
    /// No algorithm.
    pub const EMPTY: Self = Self(0);
    /// Every algorithm whose verification key is public.
    pub const ASYMMETRIC: Self = {
        use Algorithm::{EdDsa, Es256, Es384, Es512};
        Self(Self::RSA.0 | Self::of(&[Es256, Es384, Es512, EdDsa]).0)
    };

    /// Every algorithm of RSA keys.
    pub const RSA: Self = {
        use Algorithm::{Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        Self::of(&[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512])
    };

    /// The set of these algorithms.
    pub const fn of(algorithms: &[Algorithm]) -> Self {
        let mut bits = 0;
        let mut rest = algorithms;
        while let [first, others @ ..] = rest {
            bits |= first.bit();
            rest = others;
        }
        Self(bits)
    }

    /// Whether `algorithm` is in the set.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & algorithm.bit() != 0
    }

    /// Adds `algorithm`.
    pub const fn insert(&mut self, algorithm: Algorithm) {
        self.0 |= algorithm.bit();
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether the set has no member.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order of [`Algorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }

    /// The members as bits, for a digest of what a key may do.
    pub(super) const fn bits(self) -> u16 {
        self.0
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        let mut set = Self::EMPTY;
        for algorithm in algorithms {
            set.insert(algorithm);
        }
        set
    }
}

impl core::fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses_to_its_algorithm() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
        }
    }

    #[test]
    fn names_are_case_sensitive_and_none_is_unknown() {
        for name in [
            "none", "None", "NONE", "rs256", "Rs256", "EDDSA", "RS256 ", "", "RSA-OAEP", "ES256K", "ed25519",
            "ED25519", "Ed448", "ESP256",
        ] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }

    #[test]
    fn each_algorithm_has_a_bit_of_its_own() {
        let all: AlgorithmSet = Algorithm::ALL.into_iter().collect();
        assert_eq!(all.iter().count(), 13);
        assert_eq!(all.bits().count_ones(), 13);
        for one in Algorithm::ALL {
            let set = AlgorithmSet::of(&[one]);
            assert_eq!(set.iter().collect::<Vec<_>>(), [one]);
        }
    }

    #[test]
    fn the_asymmetric_set_is_what_is_not_symmetric() {
        let set: AlgorithmSet = Algorithm::ALL.into_iter().filter(|a| !a.is_symmetric()).collect();
        assert_eq!(set, AlgorithmSet::ASYMMETRIC);
        assert!(set.intersection(AlgorithmSet::of(&[Algorithm::Hs256])).is_empty());
    }
}
