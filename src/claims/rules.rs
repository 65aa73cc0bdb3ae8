//! What an issuer's tokens must say. One function; the order of its checks is the order of `attachectl explain`.

use core::time::Duration;
use std::rc::Rc;

use super::kept::{AskedClaims, client};
use super::time::numeric_date;
use crate::base::{Timestamp, is_same};
use crate::claims::ClaimError;
use crate::jose::{
    AlgorithmSet, Crypto, Engine, Header, Json, Key, Object, SignatureError, SignedToken, UnverifiedToken,
};

/// The rules of one issuer. Immutable.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What `iss` must be, exactly.
    pub issuer: Rc<str>,
    /// Whom the token must be for.
    pub audiences: Audiences,
    /// The algorithms that the issuer signs with (RFC 8725 §3.1).
    pub algorithms: AlgorithmSet,
    /// What the header's `typ` must say.
    pub token_type: TokenType,
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
    /// RFC 9068: `typ` says at+jwt, and iss, exp, aud, sub, client_id, iat and jti are there.
    AccessToken,
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

    fn validity(&self, header: &Header<'_>, claims: &Object<'_>) -> Result<Validity, ClaimError> {
        self.check_issuer(claims)?;
        if !self.algorithms.contains(header.algorithm) {
            return Err(ClaimError::AlgorithmNotAllowed { algorithm: header.algorithm });
        }
        self.check_type(header, claims)?;
        self.check_audience(claims)?;
        self.check_lifetime(claims)
    }

    fn check_issuer(&self, claims: &Object<'_>) -> Result<(), ClaimError> {
        match string(claims, "iss")? {
            None => Err(ClaimError::Missing { claim: "iss" }),
            Some(iss) if is_same(iss.as_bytes(), self.issuer.as_bytes()) => Ok(()),
            Some(_) => Err(ClaimError::WrongIssuer),
        }
    }

    fn check_type(&self, header: &Header<'_>, claims: &Object<'_>) -> Result<(), ClaimError> {
        if self.token_type == TokenType::Any {
            return Ok(());
        }
        let typ = header.typ.as_deref().unwrap_or_default();
        if !typ.eq_ignore_ascii_case("at+jwt") && !typ.eq_ignore_ascii_case("application/at+jwt") {
            return Err(ClaimError::WrongType);
        }
        for claim in ["sub", "client_id", "jti"] {
            string(claims, claim)?.ok_or(ClaimError::Missing { claim })?;
        }
        for claim in ["exp", "aud", "iat"] {
            claims.get(claim).filter(|value| **value != Json::Null).ok_or(ClaimError::Missing { claim })?;
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
/// [`PrescreenedToken::verify`].
#[derive(Clone, Copy, Debug)]
pub struct AuthenticToken<'t> {
    signed: SignedToken<'t>,
    rules: &'t Rules,
    validity: Validity,
}

impl<'t> PrescreenedToken<'t> {
    /// The header, which may choose among keys and nothing else.
    pub fn header(&self) -> &'t Header<'t> {
        self.token.header()
    }

    /// Who presents the token, by its own word: see [`VerifiedToken::client`](super::VerifiedToken::client).
    pub fn client(&self) -> Option<&'t str> {
        client(self.token.claims())
    }

    /// Whether `key` could have made the signature, as far as that takes no arithmetic.
    ///
    /// # Errors
    /// See [`UnverifiedToken::admits`].
    pub fn admits(&self, key: &Key) -> Result<(), SignatureError> {
        self.token.admits(key)
    }

    /// What it costs to check the signature with `key`, by an estimate.
    pub fn check_cost(&self, key: &Key, engine: Engine) -> Duration {
        self.token.check_cost(key, engine)
    }

    /// Checks the signature with `key`.
    ///
    /// # Errors
    /// Why `key` has not signed this token, or may not have.
    pub fn verify(&self, key: &Key, crypto: &dyn Crypto) -> Result<AuthenticToken<'t>, SignatureError> {
        let signed = self.token.verify(key, crypto)?;
        Ok(AuthenticToken { signed, rules: self.rules, validity: self.validity })
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

fn string<'a>(claims: &'a Object<'_>, claim: &'static str) -> Result<Option<&'a str>, ClaimError> {
    match claims.get(claim) {
        None | Some(Json::Null) => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or(ClaimError::Malformed { claim }),
    }
}
