//! One token, one verdict: the list of checks that a token passes, in order.
//!
//! A token is read, its issuer found, and the rules are held against it *before* any signature is checked: the
//! prescreen may only deny. What has passed it is a type of its own, and only that, with a signature, becomes a
//! verified token.

use std::rc::Rc;

use super::budget::RETRY_AFTER;
use super::cache::TokenCache;
use super::credential::PresentedToken;
use super::decision::{CacheResult, TriedKeys, WaitReason, Work};
use super::denial::Denial;
use super::denied_tokens::DeniedTokens;
use super::observer::{Observer, Step};
use super::request::Request;
use super::route_requirement::RouteRequirement;
use super::settings::{Issuer, Settings};
use super::trial::{Trial, TrialOutcome, Trials};
use crate::base::Timestamp;
use crate::claims::{PrescreenedToken, VerifiedToken};
use crate::issuer::KeyStore;
use crate::jose::{KnownHeaders, SignedToken, TokenParts, UnverifiedToken};
use crate::policy::{IssuerId, Mode};
use crate::sharing::Context;

/// What is asked about a token.
pub(super) struct Inquiry<'a> {
    /// The token.
    pub(super) presented: &'a PresentedToken<'a>,
    /// What it is to be good for.
    pub(super) requirement: &'a RouteRequirement<'a>,
    /// The request that presents it.
    pub(super) request: &'a Request<'a>,
    /// The keys of each issuer.
    pub(super) stores: &'a mut [KeyStore],
    /// What the answer takes.
    pub(super) work: Work,
}

/// Why there is no verified token.
#[derive(Clone, Debug)]
pub(super) enum Unverified {
    /// The token is denied.
    Denied(Option<IssuerId>, Denial),
    /// The token is denied, but its issuer has signed it.
    DeniedSigned(IssuerId, Denial),
    /// Something of its issuer's has to come first.
    Wait(IssuerId, WaitReason),
}

/// Verifies tokens, and remembers some.
#[derive(Debug)]
pub(super) struct Verifier {
    settings: Rc<Settings>,
    /// Those that were verified; `None` when none are kept.
    cache: Option<TokenCache>,
    /// Those whose keys are unknown.
    unknown: DeniedTokens,
    /// The headers of those that were verified.
    headers: KnownHeaders,
    /// What trying keys has cost, and how it ended.
    trials: Trials,
}

impl Verifier {
    pub(super) fn new(settings: Rc<Settings>, seed: [u8; 16]) -> Self {
        let issuers = settings.issuers.len();
        Self {
            cache: settings.cache.map(|cache| TokenCache::new(cache, issuers, seed)),
            unknown: DeniedTokens::new(seed),
            headers: KnownHeaders::default(),
            trials: Trials::new(issuers, seed),
            settings,
        }
    }

    /// Verifies a presented token of an issuer that is accepted, or finds it in the cache.
    pub(super) fn verify(
        &mut self,
        inquiry: &mut Inquiry<'_>,
        context: &Context<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<(IssuerId, Rc<VerifiedToken>), Unverified> {
        let settings = Rc::clone(&self.settings);
        let presented = inquiry.presented;
        let text = presented.as_bytes();
        if let Some(cache) = &mut self.cache {
            let hit = cache.lookup(text, inquiry.stores, context.now);
            if let Some(hit) = hit {
                inquiry.work.cache = Some(CacheResult::Hit);
                observer.passed(Step::Credential { bytes: text.len() });
                observer.passed(Step::Cached);
                return Ok(hit);
            }
        }

        // What can be taken apart is base64url and dots; what cannot may be no token at all, which is another fault.
        let parts = TokenParts::decode_with(text, &self.headers);
        if parts.as_ref().map_or(true, |parts| parts.fault().is_some()) {
            presented.check().map_err(|denial| Unverified::Denied(None, denial))?;
        }
        inquiry.work.cache = self.cache.is_some().then_some(CacheResult::Miss);
        observer.passed(Step::Credential { bytes: text.len() });
        let parts = parts.map_err(|error| Unverified::Denied(None, error.into()))?;
        let token = parts.read().map_err(|error| Unverified::Denied(None, error.into()))?;
        observer.passed(Step::Token(&token));

        let found = issuer_of(&token, &settings);
        let (id, issuer) = found.map_err(|denial| Unverified::Denied(None, denial))?;
        observer.passed(Step::Issuer(issuer));

        let denied = |denial: Denial| Unverified::Denied(Some(id), denial);
        let prescreened = prescreen(&token, id, issuer, inquiry.requirement, context.now);
        match &prescreened {
            Ok(_) => observer.passed(Step::Prescreen),
            // Until the signature is checked, whose token it is, is the client's word: nobody gets past by it.
            Err(denial) if issuer.mode == Mode::ReportOnly && denial.may_follow_signature() => {}
            // A token that is of no use here costs no signature and waits for no keys.
            Err(denial) => return Err(denied(denial.clone())),
        }

        let (signed, generation) = self.check_signature(&token, id, inquiry, context, observer)?;
        signed.remember_header(&mut self.headers);
        let denied = |denial: Denial| Unverified::DeniedSigned(id, denial);
        let authentic = prescreened.map_err(denied)?.signed(signed);
        let authentic = authentic.ok_or_else(|| denied(Denial::Internal("another token's signature")))?;
        let verified = VerifiedToken::new(&authentic).map_err(|error| denied(error.into()))?;
        let engine = context.crypto.engine(token.header().algorithm);
        observer.passed(Step::Verified { token: &verified, engine });

        let verified = Rc::new(verified);
        if let Some(cache) = &mut self.cache {
            cache.insert(text, &verified, id, generation, context.now);
        }
        Ok((id, verified))
    }

    /// Denies what no signature could make good, as [`Self::verify`] does, whatever route it is for.
    pub(super) fn screen(
        &mut self,
        presented: &PresentedToken<'_>,
        stores: &mut [KeyStore],
        now: Timestamp,
    ) -> Result<(), (Option<IssuerId>, Denial)> {
        let text = presented.as_bytes();
        if self.cache.as_mut().is_some_and(|cache| cache.lookup(text, stores, now).is_some()) {
            return Ok(());
        }
        presented.check().map_err(|denial| (None, denial))?;
        let parts = TokenParts::decode_with(text, &self.headers).map_err(|error| (None, error.into()))?;
        let token = parts.read().map_err(|error| (None, error.into()))?;
        let (id, issuer) = issuer_of(&token, &self.settings).map_err(|denial| (None, denial))?;
        match issuer.rules.check(&token, now).map_err(Denial::from) {
            Err(denial) if issuer.mode == Mode::Enforce || !denial.may_follow_signature() => {
                Err((Some(id), denial))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Tries the issuer's own keys that fit the token.
    fn check_signature<'t>(
        &mut self,
        token: &'t UnverifiedToken<'t>,
        issuer: IssuerId,
        inquiry: &mut Inquiry<'_>,
        context: &Context<'_>,
        observer: &mut (impl Observer + ?Sized),
    ) -> Result<(SignedToken<'t>, u64), Unverified> {
        let Inquiry { presented, request, stores, work, .. } = inquiry;
        let (text, now) = (presented.as_bytes(), context.now);
        let denied = |denial| Err(Unverified::Denied(Some(issuer), denial));
        let Some(store) = stores.get_mut(issuer.place()) else {
            return denied(Denial::Internal("an issuer without a key store"));
        };
        let generation = store.generation();
        let Some(keys) = store.keys().cloned() else {
            return Err(Unverified::Wait(issuer, WaitReason::FirstKeys));
        };
        // A key id that the set lacks may be newer than the set; without a key id, so may the key. Where a source has
        // no keys now, any key may be one of its own.
        let named = token.header().kid.as_deref().is_some_and(|kid| keys.has_kid(kid));
        let may_be_new = store.is_remote() && (!named || store.is_incomplete());
        if may_be_new && let Some(denial) = self.unknown.recall(text, issuer, generation, now) {
            return denied(denial);
        }
        let tried = match request.waited_for {
            Some(WaitReason::UnknownKey(tried)) => Some(tried),
            Some(WaitReason::FirstKeys) | None => None,
        };
        let crypto = context.crypto;
        let Some(rules) = self.settings.issuers.get(issuer.place()).map(|issuer| &issuer.rules) else {
            return denied(Denial::Internal("an issuer without rules"));
        };
        let trial = Trial { token, text, issuer, rules, store, keys: &keys, named, tried, crypto, now };
        let count = trial.count();
        observer.passed(Step::Keys { candidates: count });
        let cache = self.cache.as_ref();
        let client = || cache?.known_client(issuer, &rules.presenter(token)?);
        let denial = match self.trials.run(&trial, client, work, observer) {
            TrialOutcome::Verified(signed) => return Ok((signed, generation)),
            // Nothing is remembered of it and nothing is asked for: it may be as good as any.
            TrialOutcome::Limited { tried } => {
                return denied(Denial::ChecksLimited { tried, keys: count, retry_after: RETRY_AFTER });
            }
            TrialOutcome::Failed(denial) => denial,
        };
        if may_be_new && !store.is_newer_than(request.arrived, now) {
            store.want_unknown_key();
            let reason = WaitReason::UnknownKey(TriedKeys { generation, named });
            return Err(Unverified::Wait(issuer, reason));
        }
        if may_be_new {
            self.unknown.remember(text, issuer, generation, denial.clone(), now);
        } else {
            store.want_changed_key();
        }
        denied(denial)
    }
}

/// What can be told of a token without a signature: whether its issuer is accepted, and what the issuer's rules say.
fn prescreen<'t>(
    token: &'t UnverifiedToken<'t>,
    id: IssuerId,
    issuer: &'t Issuer,
    requirement: &RouteRequirement<'_>,
    now: Timestamp,
) -> Result<PrescreenedToken<'t>, Denial> {
    if !requirement.accepts(id) {
        return Err(Denial::IssuerNotAccepted);
    }
    Ok(issuer.rules.check(token, now)?)
}

/// The issuer whose rules a token is held against: found by its unverified claims, which the rules then check, and the
/// signature after them.
fn issuer_of<'a>(
    token: &UnverifiedToken<'_>,
    settings: &'a Settings,
) -> Result<(IssuerId, &'a Issuer), Denial> {
    let id = settings.issuer_index.find(token.claims()).ok_or(Denial::IssuerUnknown)?;
    let issuer = settings.issuers.get(id.place()).ok_or(Denial::Internal("an issuer that is not there"))?;
    Ok((id, issuer))
}
