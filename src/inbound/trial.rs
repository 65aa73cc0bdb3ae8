//! Holds a token against the keys that could have signed it, one after the other, as far as the budget for failing
//! checks goes.
//!
//! A token that names no key is tried first with those that have verified such tokens lately: while a flood leaves
//! nothing for more than one check, an honest token is likely to need no more.

use core::time::Duration;

use super::budget::{CheckAccount, CheckBudget, CheckKind};
use super::decision::{TriedKeys, Work};
use super::denial::Denial;
use super::denied_tokens::DeniedTokens;
use super::observer::Observer;
use crate::base::Timestamp;
use crate::claims::Rules;
use crate::issuer::KeyStore;
use crate::jose::{Crypto, Key, KeyId, KeySet, SignatureError, SignedToken, UnverifiedToken};
use crate::policy::IssuerId;

/// What trials have cost lately, and how they ended.
#[derive(Debug)]
pub(super) struct Trials {
    budget: CheckBudget,
    /// Tokens that no key verified.
    failed: DeniedTokens,
    /// For each issuer, the keys that have verified tokens which name none, the last first.
    recent: Vec<Vec<KeyId>>,
}

/// A token, and what it is held against.
pub(super) struct Trial<'a, 't> {
    pub(super) token: &'t UnverifiedToken<'t>,
    pub(super) text: &'a [u8],
    pub(super) issuer: IssuerId,
    /// The issuer's: they say which of its keys may sign for what the token says.
    pub(super) rules: &'a Rules,
    pub(super) store: &'a KeyStore,
    pub(super) keys: &'a KeySet,
    /// Whether a key bears the name that the token gives.
    pub(super) named: bool,
    /// What it has been held against before it waited.
    pub(super) tried: Option<TriedKeys>,
    pub(super) crypto: &'a dyn Crypto,
    pub(super) now: Timestamp,
}

/// How a trial ends.
pub(super) enum TrialOutcome<'t> {
    /// A key has signed the token.
    Verified(SignedToken<'t>),
    /// None has.
    Failed(Denial),
    /// The budget did not go so far. The token may be good.
    Limited {
        /// How many keys have not signed it.
        tried: usize,
    },
}

impl Trials {
    /// Nothing has been tried. The seed is random.
    pub(super) fn new(issuers: usize, seed: [u8; 16]) -> Self {
        let recent = core::iter::repeat_with(Vec::new).take(issuers).collect();
        Self { budget: CheckBudget::default(), failed: DeniedTokens::new(seed), recent }
    }

    /// Tries the keys. `client` is the digest of the client that the token names, if that is known.
    pub(super) fn run<'t>(
        &mut self,
        trial: &Trial<'_, 't>,
        client: impl Fn() -> Option<u64>,
        work: &mut Work,
        observer: &mut (impl Observer + ?Sized),
    ) -> TrialOutcome<'t> {
        let Trial { token, text, issuer, store, now, .. } = *trial;
        // While nothing is owed, a check costs no more than looking for it is worth.
        let is_whole = self.budget.is_whole();
        if !is_whole && let Some(denial) = self.failed.recall(text, issuer, store.generation(), now) {
            return TrialOutcome::Failed(denial);
        }
        let client = if is_whole { None } else { client() };
        let engine = trial.crypto.engine(token.header().algorithm);
        let names_none = token.header().kid.is_none();
        let recent = self.recent.get(issuer.place()).filter(|_| names_none).cloned().unwrap_or_default();
        let mut costs = CheckCosts::default();
        let mut failure = None;
        for (tried, key) in trial.in_order(&recent).enumerate() {
            if trial.has_failed(key) {
                failure = Some(SignatureError::Mismatch);
                continue;
            }
            if let Err(error) = trial.rules.admits(token, key) {
                observer.tried(key, Err(error));
                failure.get_or_insert(error);
                continue;
            }
            let account = self.account(issuer, client, trial.kind(&costs));
            if !self.budget.may_spend(account, now) {
                work.failed_checks = costs.sum();
                return TrialOutcome::Limited { tried };
            }
            let checks = work.signatures.map_or(0, |(_, checks)| checks);
            work.signatures = Some((engine, checks.saturating_add(1)));
            match token.verify(key, trial.crypto) {
                Ok(signed) => {
                    observer.tried(key, Ok(()));
                    costs.each(|(account, cost)| self.budget.refund(account, cost));
                    if names_none && trial.count() > 1 {
                        self.note(issuer, key.id());
                    }
                    return TrialOutcome::Verified(signed);
                }
                Err(error) => {
                    observer.tried(key, Err(error));
                    let cost = token.check_cost(key, engine);
                    self.budget.spend(account, cost, now);
                    costs.add(account, cost);
                    failure = Some(error);
                }
            }
        }
        work.failed_checks = costs.sum();
        let denial = failure.map_or(Denial::KeyUnknown, Denial::Signature);
        if !costs.is_empty() {
            self.failed.remember(text, issuer, store.generation(), denial.clone(), now);
        }
        TrialOutcome::Failed(denial)
    }

    fn account(&self, issuer: IssuerId, client: Option<u64>, kind: CheckKind) -> CheckAccount {
        let own = CheckAccount { issuer, client, kind };
        if client.is_none() || self.budget.has_room_for(own) {
            own
        } else {
            CheckAccount { client: None, ..own }
        }
    }

    /// A key has verified a token that names none.
    fn note(&mut self, issuer: IssuerId, key: KeyId) {
        let Some(recent) = self.recent.get_mut(issuer.place()) else { return };
        recent.retain(|other| *other != key);
        recent.insert(0, key);
        recent.truncate(MAX_RECENT_KEYS);
    }
}

impl Trial<'_, '_> {
    /// How many keys could have signed the token.
    pub(super) fn count(&self) -> usize {
        self.candidates().count()
    }

    fn candidates(&self) -> impl Iterator<Item = &Key> {
        let header = self.token.header();
        self.keys.candidates(header.algorithm, header.kid.as_deref()).map(|key| &**key)
    }

    /// The keys that could have signed the token, the recent ones first.
    fn in_order<'a>(&'a self, recent: &'a [KeyId]) -> impl Iterator<Item = &'a Key> {
        let likely = recent.iter().filter_map(|id| self.candidates().find(|key| key.id() == *id));
        likely.chain(self.candidates().filter(|key| !recent.contains(&key.id())))
    }

    /// Whether the token was held against this key before it waited: what did not verify it then does not now.
    fn has_failed(&self, key: &Key) -> bool {
        let tried = self.tried.filter(|tried| tried.named == self.named);
        tried.is_some_and(|tried| self.store.has_had(&key.id(), tried.generation))
    }

    fn kind(&self, costs: &CheckCosts) -> CheckKind {
        match (costs.is_empty(), self.named) {
            (true, true) => CheckKind::Named,
            (true, false) => CheckKind::Unnamed,
            (false, _) => CheckKind::Further,
        }
    }
}

/// What one token's checks have cost: the first, and those after it.
#[derive(Debug, Default)]
struct CheckCosts {
    first: Option<(CheckAccount, Duration)>,
    further: Option<(CheckAccount, Duration)>,
}

impl CheckCosts {
    fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    fn add(&mut self, account: CheckAccount, cost: Duration) {
        if self.first.is_none() {
            self.first = Some((account, cost));
            return;
        }
        let (_, sum) = self.further.get_or_insert((account, Duration::ZERO));
        *sum = sum.saturating_add(cost);
    }

    fn sum(&self) -> Duration {
        let parts = [&self.first, &self.further].into_iter().flatten();
        parts.fold(Duration::ZERO, |sum, (_, cost)| sum.saturating_add(*cost))
    }

    fn each(&self, of: impl FnMut((CheckAccount, Duration))) {
        [self.first, self.further].into_iter().flatten().for_each(of);
    }
}

/// An issuer signs with a key or two of each algorithm at a time.
const MAX_RECENT_KEYS: usize = 4;
