//! One token, one verdict: the list of checks that a token passes, in order.
//!
//! A token is read, its issuer found, and the rules are held against it *before* any signature is checked: the
//! prescreen may only deny. What has passed it is a type of its own, and only that, with a signature, becomes a
//! verified token.

use std::rc::Rc;

use super::authorizer::Moment;
use super::budget::RETRY_AFTER;
use super::cache::TokenCache;
use super::credential::PresentedToken;
use super::decision::{CacheResult, TriedKeys, WaitReason, Work};
use super::denial::Denial;
use super::denied_tokens::DeniedTokens;
use super::observer::{Observer, Step};
use super::settings::{Issuer, Settings};
use super::trial::{Trial, TrialOutcome, Trials};
use crate::claims::{AuthenticToken, PrescreenedToken, VerifiedToken};
use crate::jose::{Json, KnownHeaders, TokenParts, UnverifiedToken};
use crate::policy::IssuerId;

/// Why there is no verified token.
#[derive(Clone, Debug)]
pub(super) enum Unverified {
    /// The token is denied.
    Denied(Option<IssuerId>, Denial),
    /// Its issuer's keys have to come first; these have been tried.
    Wait(IssuerId, WaitReason, TriedKeys),
}

/// What is remembered of earlier tokens.
pub(super) struct Memory<'a> {
    /// Those that were verified; `None` when none are kept.
    pub(super) cache: Option<&'a mut TokenCache>,
    /// Those whose keys are unknown.
    pub(super) unknown: &'a mut DeniedTokens,
    /// The headers of those that were verified.
    pub(super) headers: &'a mut KnownHeaders,
    /// What trying keys has cost, and how it ended.
    pub(super) trials: &'a mut Trials,
}

/// Verifies a presented token of an issuer that is accepted, or finds it in the cache.
#[allow(clippy::too_many_arguments, reason = "each is one part of the question, and there is one caller")]
pub(super) fn verify(
    presented: &PresentedToken<'_>,
    settings: &Settings,
    accepts: impl Fn(IssuerId) -> bool,
    mut memory: Memory<'_>,
    moment: &mut Moment<'_>,
    work: &mut Work,
    observer: &mut (impl Observer + ?Sized),
) -> Result<(IssuerId, Rc<VerifiedToken>), Unverified> {
    let text = presented.as_bytes();
    if let Some(cache) = &mut memory.cache {
        let hit = cache.lookup(text, moment.stores, moment.now);
        if let Some(hit) = hit {
            // A request that has waited was a miss when it came.
            work.cache = moment.tried.is_none().then_some(CacheResult::Hit);
            observer.passed(Step::Credential { bytes: text.len() });
            observer.passed(Step::Cached);
            return Ok(hit);
        }
    }

    // What can be taken apart is base64url and dots; what cannot may be no token at all, which is another fault.
    let parts = TokenParts::decode_with(text, memory.headers);
    if parts.as_ref().map_or(true, |parts| parts.fault().is_some()) {
        presented.check().map_err(|denial| Unverified::Denied(None, denial))?;
    }
    let is_first_look = memory.cache.is_some() && moment.tried.is_none();
    work.cache = is_first_look.then_some(CacheResult::Miss);
    observer.passed(Step::Credential { bytes: text.len() });
    let parts = parts.map_err(|error| Unverified::Denied(None, error.into()))?;
    let token = parts.read().map_err(|error| Unverified::Denied(None, error.into()))?;
    observer.passed(Step::Token(&token));

    let (id, issuer) = issuer_of(&token, settings).map_err(|denial| Unverified::Denied(None, denial))?;
    observer.passed(Step::Issuer(issuer));

    let denied = |denial: Denial| Unverified::Denied(Some(id), denial);
    // A token that is of no use here costs no signature and waits for no keys.
    if !accepts(id) {
        return Err(denied(Denial::IssuerNotAccepted));
    }
    let checked = issuer.rules.check(&token, moment.now).map_err(|error| denied(error.into()))?;
    observer.passed(Step::Prescreen);

    let (accepted, generation) = check_signature(&checked, text, id, &mut memory, moment, work, observer)?;
    accepted.signed().remember_header(memory.headers);
    let verified = VerifiedToken::new(&accepted);
    let verified = verified.map_err(|error| denied(error.into()))?;
    let engine = moment.crypto.engine(token.header().algorithm);
    observer.passed(Step::Verified { token: &verified, engine });

    let verified = Rc::new(verified);
    if let Some(cache) = memory.cache {
        cache.insert(text, &verified, id, generation, moment.now);
    }
    Ok((id, verified))
}

/// The issuer whose rules a token is held against: found by its unverified `iss`, which the rules then check, and the
/// signature after them.
fn issuer_of<'a>(
    token: &UnverifiedToken<'_>,
    settings: &'a Settings,
) -> Result<(IssuerId, &'a Issuer), Denial> {
    let iss = token.claims().get("iss").and_then(Json::as_str).ok_or(Denial::IssuerUnknown)?;
    let id = settings.issuer_places.get(iss).copied().ok_or(Denial::IssuerUnknown)?;
    let issuer = settings.issuers.get(id.place()).ok_or(Denial::Internal("an issuer that is not there"))?;
    Ok((id, issuer))
}

/// Tries the issuer's own keys that fit the token.
fn check_signature<'t>(
    token: &PrescreenedToken<'t>,
    text: &[u8],
    issuer: IssuerId,
    memory: &mut Memory<'_>,
    moment: &mut Moment<'_>,
    work: &mut Work,
    observer: &mut (impl Observer + ?Sized),
) -> Result<(AuthenticToken<'t>, u64), Unverified> {
    let internal = || Unverified::Denied(Some(issuer), Denial::Internal("an issuer without a key store"));
    let store = moment.stores.get_mut(issuer.place()).ok_or_else(internal)?;
    let generation = store.generation();
    let Some(keys) = store.keys().cloned() else {
        let tried = TriedKeys { generation, named: false };
        return Err(Unverified::Wait(issuer, WaitReason::FirstKeys, tried));
    };
    // A key id that the set lacks may be newer than the set; without a key id, so may the key. Where a source has no
    // keys now, any key may be one of its own.
    let named = token.header().kid.as_deref().is_some_and(|kid| keys.has_kid(kid));
    let may_be_new = store.is_remote() && (!named || store.is_incomplete());
    if may_be_new && let Some(denial) = memory.unknown.recall(text, issuer, generation, moment.now) {
        return Err(Unverified::Denied(Some(issuer), denial));
    }
    let trial = Trial {
        token,
        text,
        issuer,
        store,
        keys: &keys,
        named,
        tried: moment.tried,
        crypto: moment.crypto,
        now: moment.now,
    };
    let count = trial.count();
    observer.passed(Step::Keys { candidates: count });
    let cache = memory.cache.as_deref();
    let client = || cache?.known_client(issuer, token.client()?);
    let denial = match memory.trials.run(&trial, client, work) {
        TrialOutcome::Verified(accepted) => return Ok((accepted, generation)),
        // Nothing is remembered of it and nothing is asked for: it may be as good as any.
        TrialOutcome::Limited { tried } => {
            let denial = Denial::ChecksLimited { tried, keys: count, retry_after: RETRY_AFTER };
            return Err(Unverified::Denied(Some(issuer), denial));
        }
        TrialOutcome::Failed(denial) => denial,
    };
    if may_be_new && !store.is_newer_than(moment.arrived, moment.now) {
        store.want_unknown_key();
        return Err(Unverified::Wait(issuer, WaitReason::UnknownKey, TriedKeys { generation, named }));
    }
    if may_be_new {
        memory.unknown.remember(text, issuer, generation, denial.clone(), moment.now);
    } else {
        store.want_changed_key();
    }
    Err(Unverified::Denied(Some(issuer), denial))
}
