use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::base::{Random, Secret};

/// Seals what is published: XChaCha20-Poly1305 over its bytes, bound to its name. Only a module with the secret reads a
/// value, makes one, or puts one in another's place.
#[derive(derive_more::Debug)]
#[debug("Seal(..)")]
pub struct Seal {
    cipher: XChaCha20Poly1305,
    name: [u8; 32],
}

impl Seal {
    /// A seal made with this secret; `None` when it has fewer than [`MIN_SEALING_SECRET_BYTES`].
    pub fn new(secret: &Secret) -> Option<Self> {
        if secret.expose().len() < MIN_SEALING_SECRET_BYTES {
            return None;
        }
        let key = Secret::new(derive(secret, b"attache: the key of this seal")?);
        let cipher = XChaCha20Poly1305::new_from_slice(key.expose()).ok()?;
        Some(Self { cipher, name: derive(secret, b"attache: the name of this seal")? })
    }

    /// The value behind its seal. A nonce is never used twice: it is 192 bits of the host's randomness, drawn for this
    /// value.
    pub(super) fn close(&self, name: &str, value: &[u8], random: &dyn Random) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_BYTES];
        random.fill(&mut nonce);
        let payload = Payload { msg: value, aad: name.as_bytes() };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some([&nonce[..], &sealed].concat())
    }

    /// The value, if the seal is ours and of this name.
    pub(super) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: name.as_bytes() };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }

    /// A name for values of this seal, so that those of two secrets do not overwrite each other.
    pub(super) fn name(&self) -> [u8; 32] {
        self.name
    }
}

fn derive(secret: &Secret, label: &[u8]) -> Option<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
    mac.update(label);
    Some(mac.finalize().into_bytes().into())
}

/// As long as the key.
pub const MIN_SEALING_SECRET_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
