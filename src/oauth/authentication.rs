//! How a client proves to a token endpoint who it is (RFC 6749 §2.3, RFC 7523 §2.2, RFC 8705 §2.1).

use core::time::Duration;
use std::rc::Rc;

use base64ct::{Base64, Encoding as _};
use url::form_urlencoded::{Serializer, byte_serialize};

use super::assertion::Assertion;
use crate::base::Secret;
use crate::jose::SigningError;
use crate::sharing::Context;

/// A client's identity at a token endpoint.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// `client_id`; may be missing only where the cluster sets the credential.
    pub client_id: Option<Rc<str>>,
    /// How it is proved.
    pub authentication: Authentication,
}

/// How a client authenticates.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// `client_secret_basic`: id and secret in the header.
    Basic(Secret, BasicEncoding),
    /// `client_secret_post`: in the body. For servers that cannot do better.
    Post(Secret),
    /// `private_key_jwt`: a signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt(Assertion),
    /// `tls_client_auth`: the cluster presents a certificate; the body names the client (RFC 8705 §2.1.2).
    TlsClientAuth,
    /// An HTTP filter of the token endpoint's cluster sets the credential: the secret is never here.
    SetByCluster,
}

/// How id and secret are written before `client_secret_basic` joins them with a colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BasicEncoding {
    /// Form-encoded (RFC 6749 §2.3.1).
    Form,
    /// As they are, for servers that do not decode them. The id must hold no colon then (RFC 7617 §2).
    None,
}

impl Credentials {
    /// Adds to the form what belongs there; the value of the header `authorization`, if one is sent.
    ///
    /// # Errors
    /// When an assertion cannot be signed.
    pub(crate) fn apply(
        &self,
        form: &mut Serializer<'_, String>,
        context: &Context<'_>,
    ) -> Result<Option<Secret>, SigningError> {
        let id = self.client_id.as_deref().unwrap_or_default();
        match &self.authentication {
            Authentication::Basic(secret, encoding) => return Ok(Some(basic(id, secret, *encoding))),
            Authentication::Post(secret) => {
                form.append_pair("client_id", id);
                // The configuration takes only secrets that are text.
                form.append_pair("client_secret", str::from_utf8(secret.expose()).unwrap_or_default());
            }
            Authentication::PrivateKeyJwt(assertion) => {
                let signed = assertion.sign(id, context)?;
                form.append_pair("client_id", id);
                form.append_pair("client_assertion_type", ASSERTION_TYPE);
                form.append_pair("client_assertion", &signed);
            }
            Authentication::TlsClientAuth => {
                form.append_pair("client_id", id);
            }
            Authentication::SetByCluster => {
                if !id.is_empty() {
                    form.append_pair("client_id", id);
                }
            }
        }
        Ok(None)
    }

    /// How long at most the texts are that [`Credentials::apply`] puts into the form, but for an assertion, which is
    /// good for once.
    pub(super) fn size(&self) -> usize {
        let secret = match &self.authentication {
            Authentication::Post(secret) => secret.expose().len(),
            Authentication::Basic(..)
            | Authentication::PrivateKeyJwt(_)
            | Authentication::TlsClientAuth
            | Authentication::SetByCluster => 0,
        };
        self.client_id.as_deref().map_or(0, str::len).saturating_add(secret)
    }

    /// What the server learns of us that must not be told, in each form in which it does; `None` when that is not known
    /// here. An assertion is good for one request, which is over.
    pub(super) fn secrets(&self) -> Option<Vec<Secret>> {
        match &self.authentication {
            Authentication::Basic(secret, encoding) => {
                let id = self.client_id.as_deref().unwrap_or_default();
                let header = basic(id, secret, *encoding);
                let pair = header.expose().strip_prefix(b"Basic ").unwrap_or_default();
                // Words have no `=`.
                let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
                let pair = Secret::new(pair.get(..end).unwrap_or_default());
                Some(vec![secret.clone(), form_encoded(secret.expose()), pair])
            }
            Authentication::Post(secret) => Some(vec![secret.clone(), form_encoded(secret.expose())]),
            Authentication::PrivateKeyJwt(_) | Authentication::TlsClientAuth => Some(Vec::new()),
            Authentication::SetByCluster => None,
        }
    }

    /// All of it that changes what a server answers, for a cache key: a secret only as a digest.
    pub(crate) fn fields(&self) -> [Vec<u8>; 3] {
        let digest = |bytes: &[u8]| {
            use sha2::Digest as _;
            sha2::Sha256::digest(bytes).to_vec()
        };
        let (method, proof) = match &self.authentication {
            Authentication::Basic(secret, BasicEncoding::Form) => {
                ("client_secret_basic", digest(secret.expose()))
            }
            Authentication::Basic(secret, BasicEncoding::None) => {
                ("client_secret_basic as it is", digest(secret.expose()))
            }
            Authentication::Post(secret) => ("client_secret_post", digest(secret.expose())),
            // Servers with one endpoint for several tenants tell them apart by the assertion's audience.
            Authentication::PrivateKeyJwt(assertion) => ("private_key_jwt", assertion.digest().to_vec()),
            Authentication::TlsClientAuth => ("tls_client_auth", Vec::new()),
            Authentication::SetByCluster => ("set_by_cluster", Vec::new()),
        };
        [self.client_id.as_deref().unwrap_or_default().into(), method.into(), proof]
    }
}

fn basic(id: &str, secret: &Secret, encoding: BasicEncoding) -> Secret {
    let (id, secret) = match encoding {
        BasicEncoding::Form => (form_encoded(id.as_bytes()), form_encoded(secret.expose())),
        BasicEncoding::None => (Secret::new(id), secret.clone()),
    };
    let pair = Secret::new([id.expose(), b":", secret.expose()].concat());
    let encoded = Secret::new(Base64::encode_string(pair.expose()));
    Secret::new([b"Basic ".as_slice(), encoded.expose()].concat())
}

/// RFC 6749 §2.3.1 wants this, so that a colon or a plus sign survives. A space becomes `%20` and not `+`: servers that
/// decode forms read either, and those that decode URIs only that.
fn form_encoded(text: &[u8]) -> Secret {
    // As long as it can become: a buffer that grows leaves its contents behind.
    let mut encoded = String::with_capacity(text.len().saturating_mul(LONGEST_ESCAPE));
    for part in byte_serialize(text) {
        // A plus sign in the text is `%2B` here.
        encoded.push_str(if part == "+" { "%20" } else { part });
    }
    Secret::new(encoded)
}

/// A byte as `%` and two digits.
pub(super) const LONGEST_ESCAPE: usize = 3;
/// RFC 7523 §2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// OpenID Connect Core §9 asks for short lives; clocks that differ by half a minute still agree.
pub const DEFAULT_ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(id: &str, secret: &str, encoding: BasicEncoding) -> String {
        let header = basic(id, &Secret::new(secret), encoding);
        let text = str::from_utf8(header.expose()).unwrap();
        String::from_utf8(Base64::decode_vec(text.strip_prefix("Basic ").unwrap()).unwrap()).unwrap()
    }

    /// RFC 6749 §2.3.1, and envoy's old defect: a plus sign became a space.
    #[test]
    fn id_and_secret_are_form_encoded_before_they_are_joined() {
        let joined = pair("my:client", "p+s/ä =%&  ", BasicEncoding::Form);
        assert_eq!(joined, "my%3Aclient:p%2Bs%2F%C3%A4%20%3D%25%26%20%20");
    }

    #[test]
    fn without_an_encoding_they_are_joined_as_they_are() {
        assert_eq!(pair("my client", "p+s/ä =%&:", BasicEncoding::None), "my client:p+s/ä =%&:");
    }
}
