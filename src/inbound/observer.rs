use super::decision::Evaluation;
use super::settings::Issuer;
use crate::claims::VerifiedToken;
use crate::jose::{Engine, Key, SignatureError, UnverifiedToken};
use crate::policy::{MetadataDemand, Requirement, Route};

/// Is told of each check that a request has passed, in order, and of what came of them: the flesh of `attachectl
/// explain`. The filter passes `()`.
pub trait Observer {
    /// A check has passed.
    fn passed(&mut self, step: Step<'_>);

    /// A key of the issuer's has been held against the token's signature, or could not be.
    fn tried(&mut self, key: &Key, outcome: Result<(), SignatureError>);

    /// There are no more checks.
    fn evaluated(&mut self, evaluation: &Evaluation);
}

/// A check that has passed, with what it saw. Holds a token's content: for the eyes of the token's owner only.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// The path is well-formed, and this route is the most specific that matches.
    Route(&'a Route),
    /// Envoy's route adds this.
    RouteMetadata(&'a MetadataDemand),
    /// No header imitates a protected one.
    Headers,
    /// The route is public.
    Public,
    /// The route takes requests without a token, and there is none.
    Anonymous,
    /// A CORS preflight, let through by configuration.
    Preflight,
    /// There is one token, in one place.
    Credential {
        /// Its length in bytes.
        bytes: usize,
    },
    /// The cache holds the token, verified, under a key that is still in the set.
    Cached,
    /// The token is a JWT that we read.
    Token(&'a UnverifiedToken<'a>),
    /// Its issuer is configured.
    Issuer(&'a Issuer),
    /// Header and claims keep every rule of the issuer (the prescreen: nothing is trusted yet).
    Prescreen,
    /// These many keys of the issuer could have signed it.
    Keys {
        /// How many.
        candidates: usize,
    },
    /// The signature is the key's, and the rules hold on what is signed.
    Verified {
        /// What is trusted now.
        token: &'a VerifiedToken,
        /// Who checked the signature.
        engine: Engine,
    },
    /// The token is good for this requirement.
    Requirement(&'a Requirement),
}

impl Observer for () {
    fn passed(&mut self, _step: Step<'_>) {}

    fn tried(&mut self, _key: &Key, _outcome: Result<(), SignatureError>) {}

    fn evaluated(&mut self, _evaluation: &Evaluation) {}
}
