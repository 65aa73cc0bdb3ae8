//! What failing signature checks may cost a worker: a client that forges tokens makes it compute, and this is all that
//! it can make it compute.
//!
//! The budget has accounts, and an account may spend as long as it owes less than is left for all. So one account alone
//! gets half of the budget, two get a third each, and as much is left for one more, but for what the last checks of
//! many accounts overshoot: no flood uses up what others get for long. What is owed comes back with time, to all
//! accounts alike. A check that succeeds costs nothing.

use core::time::Duration;

use crate::base::Timestamp;
use crate::policy::IssuerId;

/// What failing checks have cost lately, by account.
#[derive(Debug, Default)]
pub(super) struct CheckBudget {
    /// What each account owes; those that owe nothing are not there. Few do: what one check costs is some part of the
    /// budget.
    owed: Vec<(CheckAccount, Duration)>,
    /// The sum of it.
    total: Duration,
    /// When some of it was last paid back.
    paid: Timestamp,
}

/// On whose account a check goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CheckAccount {
    /// Whose keys.
    pub(super) issuer: IssuerId,
    /// The digest of the client that the token names, if a verified token of that client is kept: forged tokens that
    /// name no client, or another one, are not on its account.
    pub(super) client: Option<u64>,
    /// What kind of check.
    pub(super) kind: CheckKind,
}

/// A kind of check, each with an account of its own, so that a flood of one kind leaves the others their part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CheckKind {
    /// With the first key that bears the name which the token gives.
    Named,
    /// With the first key for a token that names none that is known.
    Unnamed,
    /// With a key after the first.
    Further,
}

impl CheckBudget {
    /// Whether nothing is owed: every account may spend, and no account need be looked for.
    pub(super) fn is_whole(&self) -> bool {
        self.total.is_zero()
    }

    /// Whether a check may be made on this account. It may cost more than is left: what is owed by that is owed longer.
    pub(super) fn may_spend(&mut self, account: CheckAccount, now: Timestamp) -> bool {
        if self.is_whole() {
            return true;
        }
        self.pay_back(now);
        let left = BUDGET.saturating_sub(self.total);
        let owed = self.owed.iter().find(|(other, _)| *other == account);
        owed.map_or(Duration::ZERO, |(_, owed)| *owed) < left
    }

    /// A check on this account has failed.
    pub(super) fn spend(&mut self, account: CheckAccount, cost: Duration, now: Timestamp) {
        if self.is_whole() {
            self.paid = now;
        }
        self.total = self.total.saturating_add(cost);
        match self.owed.iter_mut().find(|(other, _)| *other == account) {
            Some((_, owed)) => *owed = owed.saturating_add(cost),
            None => self.owed.push((account, cost)),
        }
    }

    /// The checks that failed were for a token that another key has verified: an honest client owes nothing.
    pub(super) fn refund(&mut self, account: CheckAccount, cost: Duration) {
        self.pay(cost, |other| *other == account);
    }

    /// Whether there is an account for one more client.
    pub(super) fn has_room_for(&self, account: CheckAccount) -> bool {
        let clients = self.owed.iter().filter(|(other, _)| other.client.is_some());
        clients.count() < MAX_CLIENT_ACCOUNTS || self.owed.iter().any(|(other, _)| *other == account)
    }

    /// Pays back what the time since the last time is worth: as much to each account, but for those that owe less.
    fn pay_back(&mut self, now: Timestamp) {
        if now < self.paid {
            // The clock has been set back. What time has passed is not known; what is owed is owed from now on.
            self.paid = now;
            return;
        }
        let elapsed = now.since(self.paid);
        if elapsed < PAID_EVERY {
            return;
        }
        self.paid = now;
        let mut credit = elapsed.checked_div(ONE_IN).unwrap_or_default();
        // What those that owe less leave over goes to the others, until nothing is left or owed.
        loop {
            let accounts = u32::try_from(self.owed.len()).unwrap_or(u32::MAX);
            let share = credit.checked_div(accounts).unwrap_or_default();
            if share.is_zero() {
                return;
            }
            credit = credit.saturating_sub(self.pay(share, |_| true));
        }
    }

    /// Pays so much for each of these accounts, or what it owes; how much that is together.
    fn pay(&mut self, share: Duration, is_one: impl Fn(&CheckAccount) -> bool) -> Duration {
        let before = self.total;
        let total = &mut self.total;
        self.owed.retain_mut(|(account, owed)| {
            let paid = if is_one(account) { share.min(*owed) } else { Duration::ZERO };
            *owed = owed.saturating_sub(paid);
            *total = total.saturating_sub(paid);
            !owed.is_zero()
        });
        before.saturating_sub(self.total)
    }
}

/// One part in so many of a worker's time goes into failing checks, at most.
pub const ONE_IN: u32 = 20;
/// What may be owed: that part of a second. Well over what the dearest check costs, and a stall that clients do not
/// notice.
pub const BUDGET: Duration = Duration::from_millis(50);
/// When to come again: by then all is paid back.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What is owed is paid back in such steps, so that thousands of accounts cost nothing that counts.
const PAID_EVERY: Duration = Duration::from_millis(10);
/// How many accounts are a client's own at once. Each gets a part of what is left, so that more would leave too little
/// to each; the other clients share the accounts of their issuer.
const MAX_CLIENT_ACCOUNTS: usize = 16;

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000);
    const CHECK: Duration = Duration::from_micros(100);

    const fn account(issuer: u16, kind: CheckKind) -> CheckAccount {
        CheckAccount { issuer: IssuerId(issuer), client: None, kind }
    }

    const fn of_client(client: u64) -> CheckAccount {
        CheckAccount { issuer: IssuerId(0), client: Some(client), kind: CheckKind::Named }
    }

    /// How many failing checks an account gets before it is denied.
    fn drain(budget: &mut CheckBudget, account: CheckAccount, now: Timestamp) -> u64 {
        (0..)
            .take_while(|_| {
                let may = budget.may_spend(account, now);
                if may {
                    budget.spend(account, CHECK, now);
                }
                may
            })
            .count()
            .try_into()
            .unwrap()
    }

    /// So many checks are the whole budget.
    const ALL: u64 = 500;

    #[test]
    fn one_account_gets_half_and_each_more_as_much_as_is_left_then() {
        let mut budget = CheckBudget::default();
        let corp = account(0, CheckKind::Named);
        assert_eq!(drain(&mut budget, corp, NOW), ALL / 2);
        assert!(!budget.may_spend(corp, NOW));
        for (other, gets) in [
            (account(0, CheckKind::Unnamed), ALL / 4),
            (account(1, CheckKind::Named), ALL / 8),
            (of_client(7), ALL / 16),
        ] {
            let got = drain(&mut budget, other, NOW);
            assert!(got.abs_diff(gets) <= 1, "{other:?}: {got}, not {gets}");
        }
        assert!(budget.total <= BUDGET);
    }

    #[test]
    fn however_long_it_lasts_checks_cost_no_more_than_their_part_of_the_time() {
        for accounts in [1, 2, 7, 100] {
            let mut budget = CheckBudget::default();
            let mut failed = vec![0; 100];
            let mut now = NOW;
            for step in 0..60_000_u16 {
                now = now.after(Duration::from_millis(1));
                let issuer = step % accounts;
                failed[usize::from(issuer)] += drain(&mut budget, account(issuer, CheckKind::Named), now);
            }
            let spent = CHECK * u32::try_from(failed.iter().sum::<u64>()).unwrap();
            let most = Duration::from_secs(60) / ONE_IN + BUDGET + CHECK * 100;
            assert!(spent <= most, "{spent:?} of {accounts}");
            assert!(spent * 10 >= most * 9, "and it is not less: {spent:?} of {accounts}");
            let least = failed.iter().take(usize::from(accounts)).min().unwrap();
            let fair = failed.iter().sum::<u64>() / u64::from(accounts);
            assert!(least * 2 > fair, "each gets its part: {failed:?}");
        }
    }

    #[test]
    fn after_a_second_all_is_there_again() {
        let mut budget = CheckBudget::default();
        let corp = account(0, CheckKind::Named);
        drain(&mut budget, corp, NOW);
        assert!(!budget.may_spend(corp, NOW.after(Duration::from_millis(9))));
        assert_eq!(drain(&mut budget, corp, NOW.after(RETRY_AFTER)), ALL / 2);
    }

    #[test]
    fn a_clock_that_steps_back_pays_nothing_and_holds_nothing_back() {
        let mut budget = CheckBudget::default();
        let corp = account(0, CheckKind::Named);
        drain(&mut budget, corp, NOW);
        let before = NOW.before(Duration::from_secs(3_600));
        assert!(!budget.may_spend(corp, before));
        assert_eq!(drain(&mut budget, corp, before.after(RETRY_AFTER)), ALL / 2);
        // The end of time, which is what the clock says when it cannot be read.
        assert_eq!(drain(&mut budget, corp, Timestamp::MAX), ALL / 2);
        assert!(!budget.may_spend(corp, Timestamp::MAX));
    }

    #[test]
    fn a_check_that_costs_more_than_is_left_is_made_and_owed_for_longer() {
        let mut budget = CheckBudget::default();
        let corp = account(0, CheckKind::Named);
        assert!(budget.may_spend(corp, NOW));
        budget.spend(corp, Duration::from_millis(60), NOW);
        assert!(!budget.may_spend(corp, NOW.after(Duration::from_millis(600))));
        assert!(budget.may_spend(corp, NOW.after(Duration::from_millis(1_200))));
    }

    #[test]
    fn what_is_refunded_was_never_spent() {
        let mut budget = CheckBudget::default();
        let owed = |budget: &CheckBudget| (budget.owed.len(), budget.total);
        for account in [account(0, CheckKind::Further), of_client(1)] {
            budget.spend(account, CHECK, NOW);
            budget.refund(account, CHECK);
            assert_eq!(owed(&budget), (0, Duration::ZERO));
        }
    }

    #[test]
    fn clients_have_accounts_up_to_their_limit() {
        let mut budget = CheckBudget::default();
        let clients: Vec<_> = (0..).take(MAX_CLIENT_ACCOUNTS + 1).map(of_client).collect();
        let (one_more, first) = clients.split_last().unwrap();
        for client in first {
            assert!(budget.has_room_for(*client));
            budget.spend(*client, CHECK, NOW);
        }
        assert!(!budget.has_room_for(*one_more) && budget.has_room_for(first[0]));
    }
}
