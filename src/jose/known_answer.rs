//! Signatures whose verdict is known: an engine that gets one of them wrong, either way, is not used. And a key to sign
//! with, for an engine that may not be there.
//!
//! Made once for this purpose with OpenSSL over one message; the private keys were not kept.

use super::algorithm::{Algorithm, Hash, Scheme};
use super::crypto::{Crypto, SignatureError};
use super::json::Object;
use super::jwk::{self, Symmetric};
use super::key::Key;
use super::rust_crypto::RustCrypto;
use super::signing_key::SigningKey;
use crate::base::{Random, Secret};

/// Whether `crypto` accepts the known signature of `algorithm` and refuses it when one bit of it, or one of the
/// message, is changed. `false` for algorithms of which no answer is known.
pub fn passes(crypto: &dyn Crypto, algorithm: Algorithm) -> bool {
    let Some((key, signature)) = known(algorithm) else {
        return false;
    };
    let mut forged = signature.clone();
    if let Some(last) = forged.last_mut() {
        *last ^= 1;
    }
    let mismatch = Err(SignatureError::Mismatch);
    crypto.verify(algorithm, &key, MESSAGE, &signature) == Ok(())
        && crypto.verify(algorithm, &key, MESSAGE, &forged) == mismatch
        && crypto.verify(algorithm, &key, b"attache: another message", &signature) == mismatch
}

/// Whether `crypto` signs, and signs what verifies: tried with ES256 and a key that everybody knows (RFC 6979 §A.2.5).
pub fn signs(crypto: &dyn Crypto, random: &dyn Random) -> bool {
    let Ok(key) = SigningKey::parse(&Secret::new(SIGNING_KEY)) else {
        return false;
    };
    let signature = crypto.sign(Algorithm::Es256, &key, MESSAGE, random);
    signature.is_ok_and(|made| RustCrypto.verify(Algorithm::Es256, key.public(), MESSAGE, &made).is_ok())
}

/// The key and the signature over [`MESSAGE`].
fn known(algorithm: Algorithm) -> Option<(Key, Vec<u8>)> {
    let (key, signature) = match (algorithm.scheme(), algorithm.hash()) {
        (Scheme::RsaPkcs1, Hash::Sha256) => (RSA_KEY, RS256),
        (Scheme::RsaPkcs1, Hash::Sha384) => (RSA_KEY, RS384),
        (Scheme::RsaPkcs1, Hash::Sha512) => (RSA_KEY, RS512),
        (Scheme::Ecdsa, Hash::Sha256) => (P256_KEY, ES256),
        (Scheme::Ecdsa, Hash::Sha384) => (P384_KEY, ES384),
        (Scheme::Ecdsa, Hash::Sha512) => (P521_KEY, ES512),
        (Scheme::Hmac | Scheme::RsaPss | Scheme::EdDsa, _) => return None,
    };
    let key = jwk::parse(&Object::parse(key.as_bytes()).ok()?, Symmetric::Refused).ok()?;
    Some((key, super::base64url::decode(signature.as_bytes())?))
}

/// What was signed.
const MESSAGE: &[u8] = b"attache: known answer";

const RSA_KEY: &str = concat!(
    r#"{"kty":"RSA","e":"AQAB","n":"xvN3yXII9yDb8chWtMRdG3iWlywRfKd4EqG7G-NM1h_qhRlOtHdo8Si-rlvoE-Ofk57--Rg"#,
    r#"1gNEcfEo1BuopnVng80MEkYYaEnG5g4Y-uARSvdZEHLRLHasW4xJqp40gpcpGxGC4uMyuDlnofdFuzjkfqf1nBWBKeIPkyMCfGeD"#,
    r#"Ui0mRTDBwz4IfSt3MD574DOOYLDLrf2dFJzqf2dGE2hNTv16i6vSUL4bPCdc0NN4QKZsJvOysffnAWpM7ygnh2JjV5DnX9eMV-p4"#,
    r#"JPBPGTKKgWNNUMnJ_oDa943SImJjF_uDq8y8RDsAV5ZXumhlYXK9iI9wT0entufK6CkBV3Q"}"#
);
const RS256: &str = concat!(
    "BcxMYcMW_ij0dblhHPJXUqGJ2_ZsYXvXLopdCDWWjTDCE5hYP6AZJ14wxH01rQwJQybzxBd7q1QqcLfpMp6mxZ4c3kSgRY9XzZ7e",
    "p1FJyMaVKRTGKqiidIZwN7_8Fwt1XhcKbhYuNsV64XUBf31UsYJ2HrGuCy8YXagGfES3XObw4q30AyX1y7tEFOHz24bLJhjlvjIT",
    "dyt7D5u6SnZhvMy9XaF8UHUGDdYAd0-6du7TFoTTruTdBU5HdkIf5w80K8_bDdenuGX2EzE6bCZDc-Nkt6quRjMYBB2HAQqGpKlt",
    "Ops2EMHFW0ZzFsdeQ1m49bJpQ2vm_bjLtELd4akcuw"
);
const RS384: &str = concat!(
    "xdYxBjQvXErCQq9-wfCSja8aj4pwDICapEHyq6mWMb8fqbBBbUrN8nfGpnCU9RrCHzCDXJ-TFrlmkkkt5A0MbgiEIhOegbwbziEL",
    "OybzjVV-Uk-_bUOCcvKwyTcWH1OWhitddSI2sK8Qtk0_s6EGhwEIMuSlJxre5nFdXfvlQ5iCuBE4YLxnK4MRCL11Pqy0GkjXgJnX",
    "Sv0le64Bfyd2hooj2pkyZLVrW68jSgo7gMS9-0FIdDO9Lqb2v_DqmpEZrEuTy9QJrqWAfqy_UPI9afhjm_wodRItUWrXw4OLmYiK",
    "AKdMHbhPNhQuXk7iqPDT4IUYSk918aAgKUlH7bWbYA"
);
const RS512: &str = concat!(
    "ugyCFQDmuH7U4i0pk664sw6h8zvqcv58CXfMa7C9xKjTS7UOOpUxWhF6CwF675-elf68dVJd-BjBgc4L4fSjOD3Q8WSQ4L-lViix",
    "45nUf1-cpqsFDx1zFuJubhFYjvrkVl79nniqhNdrxTqwzxajAOxt4Z2smUnaWx1tdbs3xLGd9w6zKYYqmMVOYATLjVeoEEIU3yfn",
    "J1UJUMcJv4m5O_ZkTB-LBG0Br7tz-gPp3osGMjtTitQXJ6XUU2D2wSMKyXlf-IfX1RkNp-JaZe8BPDPOfdKkcVUvBuGO8ElaOcjj",
    "L5h7YuJoYVWaJHRnituVwmZTHv3XvqfVDQrL0oKLGg"
);
const P256_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-256","x":"YfVgR_3pdrBrtpRSxWUXrIeW-v82LiQF7tSokcoyGZ0","y":"UrcN_mYRK7wZiR1vnrS"#,
    r#"801wzNmtILhFcL_y1DmRD5fA"}"#
);
const ES256: &str = "8iwvSYmFSjY5_duk4oFAaLocKM5wpVv55D7vwDTlrX6ciX_cbyKE4b1d1iESwf4sf9BywZw8SR7LY9mWMUiTDw";
const SIGNING_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-256","d":"ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE","x":"YP7UuiVanTHJYet0xjV"#,
    r#"taMBJuJI7Yfps5mliLmDyn7Y","y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}"#
);
const P384_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-384","x":"FxvnvmjJsXaD4W4GFtCsUqBxpu2-l9RqLQR4x1MpysnrG7J1gPgTKCOG-9uED5IH","y""#,
    r#":"uxtRIsmj6-02G6gwgZYEec94Q1OWnm6f64pVxfvsBPSOvF9X83CwRx_ixUbXiz4E"}"#
);
const ES384: &str = concat!(
    "M0kodJyrUbgo2iosHRR3OnHJi0ahPwlQamFiUZ9gN1UcCysN08FAADdkca7k_-sVGxVotWz0vd4JQxjLprUEhDpK6jHVzcuYKzHO",
    "_gupTDVRXfJ-TfbJdf0oELPllxei"
);
const P521_KEY: &str = concat!(
    r#"{"kty":"EC","crv":"P-521","x":"Afnx8WtbXpcj_qJ-Y90B1Iy42VmMQ2TZW__1kCVl_zKynkKoth5XymPJz-fe5HECYdSaR"#,
    r#"_q30G9_gyh3bRG23cIp","y":"AW1YnCuvNM2omdMJl9P3QSrSdPTzrbxuavzi_BEGsXYPx539ig5bLQ74kQxQdDbu5NsULKebNd"#,
    r#"L1R8ZLUzNN3xSk"}"#
);
const ES512: &str = concat!(
    "AAjMVLjont5mMgHpPXzY4_-Qs3ld4c7MCCTG1FsdVfE9xBZa_OfV_HTWn3Am3cWyaiT52p9PPY5pdyEKfnPXYdHPAFEDwQf2f9ye",
    "HghC8HnpU6I1PNiS4DH0fkJYcV5b76OFQvdwKZ-tSpcTeVghoYpuqgl2EMDJlubQGQjgZJRIFfHr"
);

#[cfg(test)]
mod tests {
    use super::super::offload::ALGORITHMS;
    use super::*;

    /// Says yes to everything, as an engine would whose verdict is misread.
    struct AcceptAll;

    impl Crypto for AcceptAll {
        fn verify(&self, _: Algorithm, _: &Key, _: &[u8], _: &[u8]) -> Result<(), SignatureError> {
            Ok(())
        }

        fn engine(&self, _: Algorithm) -> super::super::Engine {
            super::super::Engine::Envoy
        }

        fn sign(
            &self,
            _: Algorithm,
            _: &SigningKey,
            _: &[u8],
            _: &dyn Random,
        ) -> Result<Vec<u8>, super::super::SigningError> {
            Ok(vec![0; 64])
        }
    }

    #[test]
    fn the_portable_engine_knows_every_answer_and_a_yes_man_none() {
        for algorithm in ALGORITHMS {
            assert!(passes(&RustCrypto, algorithm), "{algorithm}");
            assert!(!passes(&AcceptAll, algorithm), "{algorithm}");
        }
    }

    struct Zeros;

    impl Random for Zeros {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(0);
        }
    }

    #[test]
    fn the_portable_engine_signs_and_garbage_is_no_signature() {
        assert!(signs(&RustCrypto, &Zeros));
        assert!(!signs(&AcceptAll, &Zeros));
    }
}
