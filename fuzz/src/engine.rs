//! Engines without arithmetic, so that what is fuzzed is what decides, and each algorithm costs the same.

use attache::base::Random;
use attache::jose::{
    Algorithm, Crypto, Engine, Key, RustCrypto, SignatureError, SigningError, SigningKey, admissible,
};
use sha2::{Digest as _, Sha256};

/// Every signature is good.
pub(crate) struct Gullible;

impl Crypto for Gullible {
    fn verify(&self, _: Algorithm, _: &Key, _: &[u8], _: &[u8]) -> Result<(), SignatureError> {
        Ok(())
    }

    fn engine(&self, algorithm: Algorithm) -> Engine {
        RustCrypto.engine(algorithm)
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        key: &SigningKey,
        message: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        RustCrypto.sign(algorithm, key, message, random)
    }
}

/// A signature is a hash over algorithm, key and message, whatever the algorithm: a target that knows a key can sign with it, which in
/// these worlds only the issuers do.
pub(crate) struct Hashing;

impl Hashing {
    /// The one signature of this message, as long as algorithm and key have it.
    pub(crate) fn signature(algorithm: Algorithm, key: &Key, message: &[u8]) -> Vec<u8> {
        let length = match admissible(algorithm, key, b"") {
            Err(SignatureError::BadLength { expected, .. }) => expected,
            _ => 0,
        };
        let digest = Sha256::new()
            .chain_update(algorithm.name())
            .chain_update(key.id().as_bytes())
            .chain_update(message)
            .finalize();
        digest.iter().copied().cycle().take(length).collect()
    }
}

impl Crypto for Hashing {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        admissible(algorithm, key, signature)?;
        let is_it = signature == Self::signature(algorithm, key, message);
        if is_it { Ok(()) } else { Err(SignatureError::Mismatch) }
    }

    fn engine(&self, algorithm: Algorithm) -> Engine {
        RustCrypto.engine(algorithm)
    }

    fn sign(
        &self,
        _: Algorithm,
        _: &SigningKey,
        message: &[u8],
        _: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        Ok(Sha256::digest(message).iter().copied().cycle().take(64).collect())
    }
}
