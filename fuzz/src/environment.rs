//! The variables that configurations here may name.

use attache::config::Environment;
use base64ct::{Base64UrlUnpadded, Encoding as _};

use crate::signer::Signer;

/// What no error, log line or answer may hold: a part of the secret that `SECRET` is.
pub(crate) const SECRET_WORD: &str = "hunter2";

pub(crate) struct Variables;

impl Environment for Variables {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "HS_KEY" => Some(Base64UrlUnpadded::encode_string(&[9; 64])),
            "SEAL" => Some(Base64UrlUnpadded::encode_string(&[1; 32])),
            "SECRET" => Some(format!("{SECRET_WORD}+plus:colon%percent ä&=end")),
            "OWN_KEY" => Some(Signer::new("own").private_jwk()),
            _ => None,
        }
    }
}
