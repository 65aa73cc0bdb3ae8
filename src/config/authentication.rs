//! How a client authenticates: `authentication`.

use core::time::Duration;
use std::collections::HashMap;
use std::rc::Rc;

use super::endpoints::EndpointIssuer;
use super::environment::Environment;
use super::reader::{Fields, Node};
use super::values;
use crate::base::Secret;
use crate::jose::{Algorithm, AlgorithmSet, SigningKey, SigningKeyError};
use crate::oauth::{
    Assertion, Authentication, BasicEncoding, DEFAULT_ASSERTION_LIFETIME, MAX_ASSERTION_LIFETIME,
};

/// The private keys that have been read, by variable and whether `RustCrypto` may sign with them: many clients may have
/// one key, and to check one of RSA takes milliseconds.
#[derive(Default)]
pub(super) struct SigningKeys(HashMap<(String, bool), Result<Rc<SigningKey>, SigningKeyError>>);

/// A way to authenticate, and its settings.
pub(super) struct AuthenticationMethod<'a> {
    name: &'a str,
    node: Node<'a>,
}

impl<'a> AuthenticationMethod<'a> {
    pub(super) fn of(node: &Node<'a>) -> Option<Self> {
        let (name, node) = node.variant(&[
            "client_secret_basic",
            "client_secret_post",
            "private_key_jwt",
            "tls_client_auth",
            "set_by_cluster",
        ])?;
        Some(Self { name, node })
    }

    /// Whether the client need not have a name here.
    pub(super) fn is_set_by_cluster(&self) -> bool {
        self.name == "set_by_cluster"
    }

    pub(super) fn read(
        &self,
        id: Option<&Node<'_>>,
        issuer: &EndpointIssuer,
        keys: &mut SigningKeys,
        environment: &dyn Environment,
    ) -> Option<Authentication> {
        let node = &self.node;
        match self.name {
            "client_secret_basic" => basic(node, id, environment),
            "client_secret_post" => secret(&node.fields(&["secret"])?, environment).map(Authentication::Post),
            "private_key_jwt" => {
                assertion(node, issuer, keys, environment).map(Authentication::PrivateKeyJwt)
            }
            "tls_client_auth" => node.empty().map(|()| Authentication::TlsClientAuth),
            _ => node.empty().map(|()| Authentication::SetByCluster),
        }
    }
}

fn basic(node: &Node<'_>, id: Option<&Node<'_>>, environment: &dyn Environment) -> Option<Authentication> {
    let fields = node.fields(&["secret", "encoding"])?;
    let secret = secret(&fields, environment);
    let encoding = fields.or("encoding", BasicEncoding::Form, |node| {
        let encoding = node.word(&[("form", BasicEncoding::Form), ("none", BasicEncoding::None)])?;
        let has_colon = id.and_then(|id| id.value().as_str()).is_some_and(|id| id.contains(':'));
        if encoding == BasicEncoding::None && has_colon {
            return node.problem(
                "`client_id` contains a colon, at which the server would end it: only `form` escapes it",
            );
        }
        Some(encoding)
    });
    Some(Authentication::Basic(secret?, encoding?))
}

fn secret(fields: &Fields<'_>, environment: &dyn Environment) -> Option<Secret> {
    values::client_secret(&values::env(&fields.required("secret")?)?, environment)
}

fn assertion(
    node: &Node<'_>,
    issuer: &EndpointIssuer,
    keys: &mut SigningKeys,
    environment: &dyn Environment,
) -> Option<Assertion> {
    let fields = node.fields(&[
        "key",
        "algorithm",
        "kid",
        "certificate_thumbprint",
        "audience",
        "lifetime",
        "portable_rsa",
    ])?;
    let portable_rsa =
        fields.or("portable_rsa", false, |node| node.word(&[("deny", false), ("allow", true)]));
    let key = fields.read("key", |node| {
        let variable = values::env(node)?;
        keys.read(&variable, portable_rsa?, environment)
    });
    let algorithm = algorithm(&fields, key.as_deref(), portable_rsa);
    let kid = fields.maybe("kid", values::plain);
    let thumbprint = fields.maybe("certificate_thumbprint", |node| {
        let digest = sha256(node.string()?);
        digest.or_else(|| node.problem("expected the SHA-256 of a certificate, base64url without padding"))
    });
    let audience = match (fields.optional("audience"), issuer) {
        (Some(node), _) => values::plain(&node),
        (None, EndpointIssuer::Known(issuer)) => Some(Rc::clone(issuer)),
        (None, EndpointIssuer::NotNamed) => node
            .problem("name the `audience`: the issuer, or the token endpoint's URL if the server wants that"),
        (None, EndpointIssuer::NotRead) => None,
    };
    let lifetime = fields.or("lifetime", DEFAULT_ASSERTION_LIFETIME, |node| {
        node.duration(Duration::from_secs(1), MAX_ASSERTION_LIFETIME)
    });
    let (key, kid) = (key?, kid?);
    Some(Assertion {
        kid: kid.or_else(|| key.kid().map(Rc::from)),
        key,
        algorithm: algorithm?,
        thumbprint: thumbprint?,
        audience: audience?,
        lifetime: lifetime?,
    })
}

fn algorithm(fields: &Fields<'_>, key: Option<&SigningKey>, portable_rsa: Option<bool>) -> Option<Algorithm> {
    let node = fields.required("algorithm")?;
    let names = |set: AlgorithmSet| set.iter().map(Algorithm::name).collect::<Vec<_>>().join(", ");
    let known = AlgorithmSet::ASYMMETRIC;
    let Some(algorithm) = Algorithm::parse(node.string()?).filter(|algorithm| known.contains(*algorithm))
    else {
        return node.problem(format_args!("expected one of {}", names(known)));
    };
    if portable_rsa == Some(true) && !AlgorithmSet::RSA.contains(algorithm) {
        let node = fields.optional("portable_rsa")?;
        return node.problem(format_args!("{algorithm} is not an RSA algorithm: leave `portable_rsa` out"));
    }
    if portable_rsa == Some(false) && NOT_IN_ENVOY.contains(algorithm) {
        return node.problem(format_args!(
            "Envoy does not sign {algorithm}: choose RS256, or read what `portable_rsa: allow` means"
        ));
    }
    let signs = key?.algorithms();
    if !signs.contains(algorithm) {
        return node.problem(format_args!("the key does not sign {algorithm}: it signs {}", names(signs)));
    }
    Some(algorithm)
}

impl SigningKeys {
    fn read(
        &mut self,
        variable: &Node<'_>,
        portable_rsa: bool,
        environment: &dyn Environment,
    ) -> Option<Rc<SigningKey>> {
        let name = (variable.string()?.to_owned(), portable_rsa);
        let key = match self.0.get(&name) {
            Some(key) => key.clone(),
            None => {
                let text = values::variable(variable, environment)?;
                let key = SigningKey::parse(&text).map(|key| Rc::new(key.allow_portable_rsa(portable_rsa)));
                self.0.insert(name, key.clone());
                key
            }
        };
        key.map_or_else(|error| variable.problem(error), Some)
    }
}

fn sha256(text: &str) -> Option<[u8; 32]> {
    use base64ct::Encoding as _;
    base64ct::Base64UrlUnpadded::decode_vec(text).ok()?.try_into().ok()
}

/// What Envoy's `sign` has no word for.
const NOT_IN_ENVOY: AlgorithmSet = AlgorithmSet::of(&[Algorithm::Ps256, Algorithm::Ps384, Algorithm::Ps512]);
