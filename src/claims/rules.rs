//! What an issuer's tokens must say. One function; the order of its checks is the order of `attachectl explain`.

use core::time::Duration;
use std::borrow::Cow;
use std::rc::Rc;

use super::kept::{AskedClaims, KeptClaims, Presenter};
use super::time::numeric_date;
use crate::base::{Timestamp, is_same};
use crate::claims::{ClaimError, ClaimPath, TokenIssuer};
use crate::jose::{AlgorithmSet, Header, Json, Key, Object, SignatureError, SignedToken, UnverifiedToken};

/// The rules of one issuer. Immutable.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who must have issued the token.
    pub issuer: TokenIssuer,
    /// Whose metadata leads to the keys, where that is another issuer's.
    pub metadata_issuer: Option<Rc<str>>,
    /// Whom the token must be for.
    pub audiences: Audiences,
    /// The algorithms that the issuer signs with (RFC 8725 §3.1).
    pub algorithms: AlgorithmSet,
    /// What the header's `typ` must say.
    pub token_type: TokenType,
    /// The claims that must be there, and not be `null`.
    pub required_claims: Vec<ClaimPath>,
    /// Whether a token must expire.
    pub expiry: Expiry,
    /// The most that `exp` − `iat` may be; both are then required.
    pub max_lifetime: Option<Duration>,
    /// How far the issuer's clock may be from ours.
    pub clock_skew: Duration,
    /// What is kept of the claims of a token that has been verified.
    pub asked: AskedClaims,
}

/// Whom a token must be for (RFC 7519 §4.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audiences {
    /// Any audience: has to be written out.
    Any,
    /// At least one of these must be in `aud`.
    OneOf(Vec<Rc<str>>),
}

/// What kind of JWT is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// Any `typ`, or none.
    Any,
    /// `typ` says at+jwt (RFC 9068 §4).
    AccessToken,
    /// `typ` says JWT or JOSE, or is not there (JWT-SVID §2.3).
    Svid,
}

/// Whether `exp` must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// It must.
    Required,
    /// It need not; if it is there it counts.
    Optional,
}

/// When a token may be used, clock skew included. Looked at again each time a verified token is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    exp: Option<Timestamp>,
    nbf: Option<Timestamp>,
    iat: Option<Timestamp>,
    clock_skew: Duration,
}

impl TokenType {
    /// The claims that tokens of the type have, besides `iss`: RFC 9068 §2.2.
    pub fn claims(self) -> &'static [&'static str] {
        match self {
            Self::Any | Self::Svid => &[],
            Self::AccessToken => &["sub", "client_id", "jti", "exp", "aud", "iat"],
        }
    }
}

impl Rules {
    /// Holds a token's header and claims against every rule. The token is not to be trusted for that: its signature has
    /// not been checked.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check<'t>(
        &'t self,
        token: &'t UnverifiedToken<'t>,
        now: Timestamp,
    ) -> Result<PrescreenedToken<'t>, ClaimError> {
        let validity = self.validity(token.header(), token.claims())?;
        validity.check(now)?;
        Ok(PrescreenedToken { token, rules: self, validity })
    }

    /// Whether `key` could have signed a token that says so of its issuer, as far as that takes no arithmetic.
    ///
    /// # Errors
    /// [`SignatureError::KeyOfOtherIssuer`], and see [`UnverifiedToken::admits`].
    pub fn admits(&self, token: &UnverifiedToken<'_>, key: &Key) -> Result<(), SignatureError> {
        let is_of_metadata =
            self.metadata_issuer.is_some() && key.issuer() == self.metadata_issuer.as_deref();
        if !is_of_metadata && !self.issuer.admits(key, token.claims()) {
            return Err(SignatureError::KeyOfOtherIssuer);
        }
        token.admits(key)
    }

    /// Who presents a token, by its own word: see [`VerifiedToken::presenter`](super::VerifiedToken::presenter).
    pub fn presenter<'t>(&self, token: &'t UnverifiedToken<'_>) -> Option<Cow<'t, str>> {
        let claims = token.claims();
        match self.asked.presenter(claims, self.issuer.tenant(claims)) {
            Presenter::Client(name) | Presenter::Subject(name) => Some(name),
            Presenter::Unnamed => None,
        }
    }

    /// What is kept of a token's claims.
    ///
    /// # Errors
    /// See [`AskedClaims::read`].
    pub fn keep(&self, claims: &Object<'_>) -> Result<KeptClaims, ClaimError> {
        self.asked.read(claims, self.issuer.tenant(claims))
    }

    fn validity(&self, header: &Header<'_>, claims: &Object<'_>) -> Result<Validity, ClaimError> {
        self.issuer.check(claims)?;
        if !self.algorithms.contains(header.algorithm) {
            return Err(ClaimError::AlgorithmNotAllowed { algorithm: header.algorithm });
        }
        self.check_type(header)?;
        self.check_required(claims)?;
        self.check_audience(claims)?;
        self.check_lifetime(claims)
    }

    fn check_type(&self, header: &Header<'_>) -> Result<(), ClaimError> {
        let typ = header.typ.as_deref();
        let says = |types: [&str; 2]| {
            types.iter().any(|known| typ.is_some_and(|typ| typ.eq_ignore_ascii_case(known)))
        };
        match self.token_type {
            TokenType::AccessToken if !says(["at+jwt", "application/at+jwt"]) => {
                Err(ClaimError::WrongType { expected: "at+jwt" })
            }
            TokenType::Svid if typ.is_some() && !says(["JWT", "JOSE"]) => {
                Err(ClaimError::WrongType { expected: "JWT" })
            }
            TokenType::Any | TokenType::AccessToken | TokenType::Svid => Ok(()),
        }
    }

    fn check_required(&self, claims: &Object<'_>) -> Result<(), ClaimError> {
        for path in &self.required_claims {
            let value = path.find(claims).filter(|value| **value != Json::Null);
            let value = value.ok_or_else(|| ClaimError::RequiredMissing { claim: path.clone() })?;
            let name = path.top_level().unwrap_or_default();
            // RFC 7519 §4.1, RFC 9068 §2.2.
            let text = ["sub", "client_id", "jti"].into_iter().find(|claim| *claim == name);
            if let Some(claim) = text.filter(|_| value.as_str().is_none()) {
                return Err(ClaimError::Malformed { claim });
            }
        }
        Ok(())
    }

    fn check_audience(&self, claims: &Object<'_>) -> Result<(), ClaimError> {
        // Where the operator asks nothing of `aud`, nothing depends on it, whatever it is.
        let Audiences::OneOf(audiences) = &self.audiences else { return Ok(()) };
        let malformed = ClaimError::Malformed { claim: "aud" };
        let accepted =
            |aud: &str| audiences.iter().any(|accepted| is_same(accepted.as_bytes(), aud.as_bytes()));
        let matches = match claims.get("aud") {
            None | Some(Json::Null) => return Err(ClaimError::Missing { claim: "aud" }),
            Some(Json::String(aud)) => accepted(aud),
            Some(Json::Array(items)) => {
                let mut found = false;
                for item in items.iter().filter(|item| **item != Json::Null) {
                    found |= accepted(item.as_str().ok_or_else(|| malformed.clone())?);
                }
                found
            }
            Some(Json::Bool(_) | Json::Number(_) | Json::Object(_)) => return Err(malformed),
        };
        if matches { Ok(()) } else { Err(ClaimError::WrongAudience) }
    }

    fn check_lifetime(&self, claims: &Object<'_>) -> Result<Validity, ClaimError> {
        let exp = numeric_date(claims, "exp")?;
        let nbf = numeric_date(claims, "nbf")?;
        let iat = numeric_date(claims, "iat")?;
        if exp.is_none() && self.expiry == Expiry::Required {
            return Err(ClaimError::Missing { claim: "exp" });
        }
        if let Some(max) = self.max_lifetime {
            let exp = exp.ok_or(ClaimError::Missing { claim: "exp" })?;
            let iat = iat.ok_or(ClaimError::Missing { claim: "iat" })?;
            let lifetime = exp.since(iat);
            if lifetime > max {
                return Err(ClaimError::LifetimeTooLong { lifetime, max });
            }
        }
        Ok(Validity { exp, nbf, iat, clock_skew: self.clock_skew })
    }
}

/// A token that says what its issuer's rules want, and whose signature has not been checked. Made only by
/// [`Rules::check`].
#[derive(Debug)]
pub struct PrescreenedToken<'t> {
    token: &'t UnverifiedToken<'t>,
    rules: &'t Rules,
    validity: Validity,
}

/// A token that says what its issuer's rules want, and that the holder of a key has signed. Made only by
/// [`PrescreenedToken::signed`].
#[derive(Clone, Copy, Debug)]
pub struct AuthenticToken<'t> {
    signed: SignedToken<'t>,
    rules: &'t Rules,
    validity: Validity,
}

impl<'t> PrescreenedToken<'t> {
    /// Joins the word of the rules with the signature, which has to be this very token's: of another one, `None`.
    pub fn signed(self, signed: SignedToken<'t>) -> Option<AuthenticToken<'t>> {
        let Self { token, rules, validity } = self;
        signed.is_of(token).then_some(AuthenticToken { signed, rules, validity })
    }
}

impl<'t> AuthenticToken<'t> {
    /// The token without the word of any rules.
    pub fn signed(&self) -> &SignedToken<'t> {
        &self.signed
    }

    pub(super) fn rules(&self) -> &'t Rules {
        self.rules
    }

    pub(super) fn validity(&self) -> Validity {
        self.validity
    }
}

impl Validity {
    pub(super) fn expires_at(&self) -> Timestamp {
        self.exp.map_or(Timestamp::MAX, |exp| exp.after(self.clock_skew))
    }

    /// Whether the token may be used now. `exp` at the second itself is past (RFC 7519 §4.1.4: "on or after").
    pub(super) fn check(&self, now: Timestamp) -> Result<(), ClaimError> {
        if let Some(exp) = self.exp.filter(|exp| now >= exp.after(self.clock_skew)) {
            return Err(ClaimError::Expired { exp, now });
        }
        let latest_start = now.after(self.clock_skew);
        if let Some(nbf) = self.nbf.filter(|nbf| *nbf > latest_start) {
            return Err(ClaimError::NotYetValid { nbf, now });
        }
        if let Some(iat) = self.iat.filter(|iat| *iat > latest_start) {
            return Err(ClaimError::IssuedInFuture { iat, now });
        }
        Ok(())
    }
}
