//! Whose tokens an issuer's rules are for: by `iss`, by `iss` and the tenant, or by the trust domain of `sub`.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::base::is_same;
use crate::claims::ClaimError;
use crate::jose::{Json, Key, Object};

/// Who must have issued a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenIssuer {
    /// `iss` is this, exactly.
    Named(Rc<str>),
    /// `iss` is a template with one of its tenants in it.
    Tenants(TenantTemplate),
    /// `sub` is a SPIFFE ID of this trust domain; `iss` need not be there (JWT-SVID §3).
    TrustDomain(TrustDomain),
}

/// An issuer's name with a place for the tenant, and the tenants that may stand there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantTemplate {
    text: Rc<str>,
    /// Each tenant, by the `iss` of its tokens.
    tenants: BTreeMap<Rc<str>, Rc<str>>,
}

/// A SPIFFE trust domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustDomain {
    /// Its SPIFFE ID.
    id: Rc<str>,
}

impl TokenIssuer {
    /// As the configuration names it; a trust domain by its SPIFFE ID.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Named(name) => name,
            Self::Tenants(template) => &template.text,
            Self::TrustDomain(domain) => &domain.id,
        }
    }

    /// Each `iss` by which its tokens are found. A trust domain has none.
    pub fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        let (name, tenants) = match self {
            Self::Named(name) => (Some(name), None),
            Self::Tenants(template) => (None, Some(template.tenants.keys())),
            Self::TrustDomain(_) => (None, None),
        };
        name.into_iter().chain(tenants.into_iter().flatten())
    }

    /// Whether a token with these claims says that it is this issuer's.
    ///
    /// # Errors
    /// What does not agree.
    pub(super) fn check(&self, claims: &Object<'_>) -> Result<(), ClaimError> {
        match self {
            Self::Named(name) => {
                let iss = required(claims, "iss")?;
                if is_same(iss.as_bytes(), name.as_bytes()) { Ok(()) } else { Err(ClaimError::WrongIssuer) }
            }
            Self::Tenants(template) => {
                let tenant = template.tenants.get(required(claims, "iss")?).ok_or(ClaimError::WrongIssuer)?;
                let tid = required(claims, "tid")?;
                if is_same(tid.as_bytes(), tenant.as_bytes()) { Ok(()) } else { Err(ClaimError::WrongTenant) }
            }
            Self::TrustDomain(domain) => domain.check(required(claims, "sub")?),
        }
    }

    /// The tenant whose token has these claims, by its `iss`; `None` where the issuer has no tenants.
    pub(super) fn tenant(&self, claims: &Object<'_>) -> Option<&str> {
        let Self::Tenants(template) = self else { return None };
        Some(&**template.tenants.get(string(claims, "iss").ok()??)?)
    }

    /// Whether a key of the issuer's set may sign for what a token with these claims says about its issuer. A set for
    /// many tenants has keys for all of them, whose `issuer` is a template, and keys for one.
    pub(super) fn admits(&self, key: &Key, claims: &Object<'_>) -> bool {
        let Some(issuer) = key.issuer() else { return true };
        match self {
            // The template may be that of another version: Entra's first and second share keys.
            Self::Named(name) => issuer == &**name || issuer.contains(TENANT),
            Self::Tenants(template) => {
                issuer == &*template.text || string(claims, "iss").is_ok_and(|iss| iss == Some(issuer))
            }
            // A bundle is one trust domain's.
            Self::TrustDomain(_) => true,
        }
    }
}

impl TenantTemplate {
    /// The template `text` with each of these tenants; `None` where there is not one place for the tenant.
    pub fn new<'t>(text: &str, tenants: impl IntoIterator<Item = &'t str>) -> Option<Self> {
        let (before, after) = text.split_once(TENANT)?;
        if [before, after].iter().any(|part| part.contains(['{', '}'])) {
            return None;
        }
        let named = |tenant: &str| (format!("{before}{tenant}{after}").into(), tenant.into());
        Some(Self { text: text.into(), tenants: tenants.into_iter().map(named).collect() })
    }
}

impl TenantTemplate {
    /// How many tenants there are.
    #[allow(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.tenants.len()
    }

    /// Whether a client of one of its tokens can have this name: `<tenant>/<client>`.
    pub fn may_name(&self, client: &str) -> bool {
        let is_of = |(tenant, client): (&str, &str)| {
            !client.is_empty() && self.tenants.contains_key(&*self.text.replace(TENANT, tenant))
        };
        client.split_once('/').is_some_and(is_of)
    }
}

impl TrustDomain {
    /// The trust domain of this name; `None` where it is none (SPIFFE ID §2.1).
    pub fn parse(name: &str) -> Option<Self> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
        let is_name = !name.is_empty() && name.len() <= MAX_TRUST_DOMAIN_BYTES && name.bytes().all(allowed);
        is_name.then(|| Self { id: format!("{SCHEME}{name}").into() })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.id.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// The trust domain that a SPIFFE ID names; `None` where the text is none.
    pub fn named_in(id: &str) -> Option<&str> {
        let (name, _) = id.strip_prefix(SCHEME)?.split_once('/')?;
        Some(name)
    }

    /// Whether `sub` is the SPIFFE ID of one of its workloads (SPIFFE ID §2).
    fn check(&self, sub: &str) -> Result<(), ClaimError> {
        let malformed = ClaimError::Malformed { claim: "sub" };
        let (name, path) =
            sub.strip_prefix(SCHEME).and_then(|id| id.split_once('/')).ok_or(malformed.clone())?;
        if !is_same(name.as_bytes(), self.name().as_bytes()) {
            return Err(ClaimError::WrongIssuer);
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let is_segment = |text: &str| !["", ".", ".."].contains(&text) && text.bytes().all(allowed);
        let is_id = sub.len() <= MAX_SPIFFE_ID_BYTES && path.split('/').all(is_segment);
        if is_id { Ok(()) } else { Err(malformed) }
    }
}

fn required<'a>(claims: &'a Object<'_>, claim: &'static str) -> Result<&'a str, ClaimError> {
    string(claims, claim)?.ok_or(ClaimError::Missing { claim })
}

fn string<'a>(claims: &'a Object<'_>, claim: &'static str) -> Result<Option<&'a str>, ClaimError> {
    match claims.get(claim) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(ClaimError::Malformed { claim }),
    }
}

/// What a template has where the tenant stands: Entra's word.
pub const TENANT: &str = "{tenantid}";
const SCHEME: &str = "spiffe://";
/// SPIFFE ID §2.3: as long as a name in the DNS.
const MAX_TRUST_DOMAIN_BYTES: usize = 255;
/// SPIFFE ID §2.3: the longest that is to be issued.
const MAX_SPIFFE_ID_BYTES: usize = 2048;
