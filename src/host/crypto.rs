//! Signatures and their checks by Envoy's BoringSSL, where the host offers it and answers right; by the portable engine
//! everywhere else.
//!
//! What checks is decided once, per algorithm, by known answers: a host without the function, or with a wrong or
//! garbled verdict, is not asked again. What signs is decided by each signature: they are rare, and a check costs less
//! than they do.

use proxy_wasm::hostcalls;

use crate::base::Random;
use crate::jose::{
    Algorithm, AlgorithmSet, Crypto, Engine, Key, RustCrypto, SignatureError, SigningError, SigningKey,
    admissible, known_answer, offload,
};

/// The engines of this host.
#[derive(Clone, Copy, Debug)]
pub struct EnvoyCrypto {
    offloaded: AlgorithmSet,
}

impl EnvoyCrypto {
    /// Probes the host: up to three calls for each algorithm that it may offer.
    pub fn new() -> Self {
        let passes = |algorithm: &Algorithm| {
            known_answer::passes(*algorithm, |key, message, signature| {
                // No verdict must fail the answer that is expected to verify; a mismatch does.
                let verdict = ask(*algorithm, key, message, signature)?;
                if verdict == Some(true) { Ok(()) } else { Err(SignatureError::Mismatch) }
            })
        };
        Self { offloaded: offload::ALGORITHMS.into_iter().filter(passes).collect() }
    }

    /// What the host checks for us.
    pub fn offloaded(&self) -> AlgorithmSet {
        self.offloaded
    }

    /// What the host signs for us, if the key is one for it; asks the host for one signature.
    pub fn signs(&self) -> AlgorithmSet {
        if known_answer::signs(|key, message| sign(Algorithm::Es256, key, message)) {
            AlgorithmSet::of(&offload::SIGNING)
        } else {
            AlgorithmSet::EMPTY
        }
    }
}

impl Default for EnvoyCrypto {
    fn default() -> Self {
        Self::new()
    }
}

impl Crypto for EnvoyCrypto {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: &Key,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match self.engine(algorithm) {
            Engine::Envoy => match ask(algorithm, key, message, signature)? {
                Some(true) => Ok(()),
                Some(false) => Err(SignatureError::Mismatch),
                // The host has stopped answering: what it would have said, ours says.
                None => RustCrypto.verify(algorithm, key, message, signature),
            },
            Engine::RustCrypto => RustCrypto.verify(algorithm, key, message, signature),
        }
    }

    fn engine(&self, algorithm: Algorithm) -> Engine {
        if self.offloaded.contains(algorithm) { Engine::Envoy } else { Engine::RustCrypto }
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        key: &SigningKey,
        message: &[u8],
        random: &dyn Random,
    ) -> Result<Vec<u8>, SigningError> {
        match sign(algorithm, key, message) {
            Ok(signature) if self.verify(algorithm, key.public(), message, &signature).is_ok() => {
                Ok(signature)
            }
            Ok(_) | Err(_) => RustCrypto.sign(algorithm, key, message, random),
        }
    }
}

/// The host's verdict, or `None` when it gives none.
fn ask(
    algorithm: Algorithm,
    key: &Key,
    message: &[u8],
    signature: &[u8],
) -> Result<Option<bool>, SignatureError> {
    admissible(algorithm, key, signature)?;
    let arguments = offload::arguments(algorithm, key, message, signature)?;
    let answer = hostcalls::call_foreign_function(offload::FUNCTION, Some(&arguments));
    Ok(answer.ok().flatten().and_then(|answer| offload::verdict(&answer)))
}

/// The host's signature.
fn sign(algorithm: Algorithm, key: &SigningKey, message: &[u8]) -> Result<Vec<u8>, SigningError> {
    let arguments = offload::sign_arguments(algorithm, key, message)?;
    let answer = hostcalls::call_foreign_function(offload::SIGN_FUNCTION, Some(&arguments));
    let signature = answer.ok().flatten().and_then(|answer| offload::signature(algorithm, &answer));
    signature.ok_or(SigningError::Host)
}
