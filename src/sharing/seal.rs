use core::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::base::Secret;

/// Seals what is published: HMAC-SHA256 over its name and its bytes. It proves who wrote a value, and hides nothing.
pub struct Seal {
    key: Hmac<Sha256>,
}

impl Seal {
    /// A seal made with this secret; `None` when it has fewer than [`MIN_SEALING_SECRET_BYTES`].
    pub fn new(secret: &Secret) -> Option<Self> {
        if secret.expose().len() < MIN_SEALING_SECRET_BYTES {
            return None;
        }
        let key = Hmac::<Sha256>::new_from_slice(secret.expose()).ok()?;
        Some(Self { key })
    }

    /// The value behind its seal.
    pub(super) fn close(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let mut sealed = self.over(name, value).finalize().into_bytes().to_vec();
        sealed.extend_from_slice(value);
        sealed
    }

    /// The value, if the seal is ours and of this name.
    pub(super) fn open<'a>(&self, name: &str, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (seal, value) = sealed.split_at_checked(SEAL_BYTES)?;
        self.over(name, value).verify_slice(seal).ok()?;
        Some(value)
    }

    /// A name for values of this seal, so that those of two secrets do not overwrite each other.
    pub(super) fn name(&self) -> [u8; 32] {
        let mut mac = self.key.clone();
        mac.update(b"attache: the name of this seal");
        mac.finalize().into_bytes().into()
    }

    fn over(&self, name: &str, value: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.key.clone();
        // The name is a digest of fixed length, so no name and value read like another.
        mac.update(name.as_bytes());
        mac.update(value);
        mac
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal(..)")
    }
}

/// As long as the hash (RFC 2104 §3).
pub const MIN_SEALING_SECRET_BYTES: usize = 32;
const SEAL_BYTES: usize = 32;
