//! Verified tokens, by their own bytes. Only a verified token enters, and policy is looked at anew each time.
//!
//! Buckets of a few places, chosen by a keyed hash, compared in full. Where there is no place, an expired token gives
//! way, and any other only to one that comes for the second time, unless its client has far more: a client with a new
//! token for each request displaces no other. What fills more than its share pays: an issuer over its share and then
//! the client with the most entries gives a place up, and a heavier client never displaces a lighter one.

use core::hash::Hasher;
use std::collections::HashMap;
use std::rc::Rc;

use rustc_hash::FxBuildHasher;
use siphasher::sip::SipHasher13;

use crate::base::{Timestamp, is_same};
use crate::claims::VerifiedToken;
use crate::issuer::KeyStore;
use crate::policy::IssuerId;

/// How much a [`TokenCache`] holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// The most tokens, at least 1.
    pub entries: usize,
    /// The most bytes, tokens and what is known of them together.
    pub bytes: usize,
}

/// Verified tokens of one worker.
#[derive(Debug)]
pub struct TokenCache {
    settings: CacheSettings,
    seed: [u8; 16],
    buckets: Vec<Bucket>,
    /// By a keyed hash already, so the map's own need not be.
    per_client: HashMap<u64, usize, FxBuildHasher>,
    per_issuer: Vec<usize>,
    entries: usize,
    bytes: usize,
    /// Counts uses: the order in which entries were used last.
    uses: u64,
    /// The bucket that gives up bytes next.
    hand: usize,
    doorkeeper: Doorkeeper,
}

#[derive(Debug, Default)]
struct Bucket {
    /// Half of each entry's hash, in their order: a token that is not here is not looked for among the entries, which
    /// lie elsewhere in memory.
    tags: [u32; WAYS],
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    text: Box<[u8]>,
    token: Rc<VerifiedToken>,
    issuer: IssuerId,
    client: u64,
    generation: u64,
    last_use: u64,
    /// The token's, so that it is not looked for in another place.
    expires_at: Timestamp,
}

impl TokenCache {
    /// An empty cache. The seed is random, so that no client can choose a token's bucket.
    pub fn new(settings: CacheSettings, issuers: usize, seed: [u8; 16]) -> Self {
        let buckets = settings.entries.div_ceil(WAYS).max(1);
        Self {
            settings,
            seed,
            buckets: core::iter::repeat_with(Bucket::default).take(buckets).collect(),
            per_client: HashMap::default(),
            per_issuer: vec![0; issuers],
            entries: 0,
            bytes: 0,
            uses: 0,
            hand: 0,
            doorkeeper: Doorkeeper::new(settings.entries),
        }
    }

    /// The token, if it is here under a key that its issuer still has, and may be used now.
    pub fn lookup(
        &mut self,
        text: &[u8],
        stores: &[KeyStore],
        now: Timestamp,
    ) -> Option<(IssuerId, Rc<VerifiedToken>)> {
        let hash = self.hash_of(text);
        let index = self.bucket_of(hash);
        let Bucket { tags, entries } = self.buckets.get_mut(index)?;
        let tag = tag_of(hash);
        let mut tagged = tags.iter().enumerate().filter(|(_, other)| **other == tag).map(|(place, _)| place);
        let place =
            tagged.find(|place| entries.get(*place).is_some_and(|entry| is_same(&entry.text, text)))?;
        let entry = entries.get_mut(place)?;
        let store = stores.get(entry.issuer.place())?;
        let key_stays = || store.keys().is_some_and(|keys| keys.contains(entry.token.key()));
        let is_good =
            (entry.generation == store.generation() || key_stays()) && entry.token.check_time(now).is_ok();
        if !is_good {
            self.remove(index, place);
            return None;
        }
        entry.generation = store.generation();
        entry.last_use = self.uses;
        self.uses = self.uses.saturating_add(1);
        Some((entry.issuer, Rc::clone(&entry.token)))
    }

    /// Keeps a token that was verified under this generation of its issuer's keys, if it gets a place.
    pub fn insert(
        &mut self,
        text: &[u8],
        token: &Rc<VerifiedToken>,
        issuer: IssuerId,
        generation: u64,
        now: Timestamp,
    ) {
        let size = entry_size(text, token);
        if size > self.settings.bytes {
            return;
        }
        let hash = self.hash_of(text);
        let index = self.bucket_of(hash);
        let is_tight =
            |cache: &Self| cache.is_full(index) || cache.bytes.saturating_add(size) > cache.settings.bytes;
        let client = self.client_of(issuer, token.presenter());
        if is_tight(self) {
            self.remove_expired(index, now);
            if is_tight(self) && !self.is_entitled(index, issuer, client) && !self.doorkeeper.admits(hash) {
                return;
            }
        }
        if self.is_full(index) && !self.make_room(index, issuer, client, now) {
            return;
        }
        // A few buckets give up bytes, and no more: what finds no room is not kept, and costs no search of the whole
        // cache.
        for _ in 0..MAX_SWEPT {
            if self.bytes.saturating_add(size) <= self.settings.bytes {
                break;
            }
            let hand = self.hand;
            self.hand = hand.saturating_add(1).checked_rem(self.buckets.len()).unwrap_or_default();
            while self.bytes.saturating_add(size) > self.settings.bytes
                && self.make_room(hand, issuer, client, now)
            {}
        }
        if self.bytes.saturating_add(size) > self.settings.bytes || self.entries >= self.settings.entries {
            return;
        }
        let Some(bucket) = self.buckets.get_mut(index) else { return };
        if let Some(tag) = bucket.tags.get_mut(bucket.entries.len()) {
            *tag = tag_of(hash);
        }
        bucket.entries.push(Entry {
            text: text.into(),
            token: Rc::clone(token),
            issuer,
            client,
            generation,
            last_use: self.uses,
            expires_at: token.expires_at(),
        });
        self.uses = self.uses.saturating_add(1);
        self.entries = self.entries.saturating_add(1);
        self.bytes = self.bytes.saturating_add(size);
        let held = self.per_client.entry(client).or_default();
        *held = held.saturating_add(1);
        if let Some(count) = self.per_issuer.get_mut(issuer.place()) {
            *count = count.saturating_add(1);
        }
    }

    /// The client's digest, if it presents tokens that are kept.
    pub(super) fn known_client(&self, issuer: IssuerId, client: &str) -> Option<u64> {
        let client = self.client_of(issuer, Some(client));
        self.per_client.contains_key(&client).then_some(client)
    }

    /// How many tokens are kept.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// How many bytes the kept tokens take.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether a bucket, or the cache, has no place left.
    fn is_full(&self, index: usize) -> bool {
        self.entries >= self.settings.entries
            || self.buckets.get(index).is_none_or(|bucket| bucket.entries.len() >= WAYS)
    }

    fn remove_expired(&mut self, index: usize, now: Timestamp) {
        let entries = self.buckets.get(index).map(|bucket| bucket.entries.as_slice()).unwrap_or_default();
        if let Some(place) = entries.iter().position(|entry| entry.expires_at <= now) {
            self.remove(index, place);
        }
    }

    /// Whether another client of this bucket has so much more than this one that its token need not come twice: more
    /// than twice as many entries, or an issuer over its share. Among equals each would displace the other in turn.
    fn is_entitled(&self, index: usize, issuer: IssuerId, client: u64) -> bool {
        let entries = self.buckets.get(index).map(|bucket| bucket.entries.as_slice()).unwrap_or_default();
        let (is_over, held) = self.weight(issuer, client);
        let far_more = held.saturating_mul(2).saturating_add(1);
        entries.iter().any(|entry| {
            let (other_is_over, others) = self.weight(entry.issuer, entry.client);
            (other_is_over && !is_over) || (other_is_over == is_over && others > far_more)
        })
    }

    /// Removes the entry of this bucket that has the least claim to its place; `false` if each has more than the
    /// newcomer.
    fn make_room(&mut self, index: usize, issuer: IssuerId, client: u64, now: Timestamp) -> bool {
        let weight = self.weight(issuer, client);
        let Some(bucket) = self.buckets.get(index) else { return false };
        let victim = bucket.entries.iter().enumerate().max_by_key(|(_, entry)| {
            (
                entry.expires_at <= now,
                self.weight(entry.issuer, entry.client),
                core::cmp::Reverse(entry.last_use),
            )
        });
        let Some((place, entry)) = victim else { return false };
        let gives_way = entry.expires_at <= now || self.weight(entry.issuer, entry.client) >= weight;
        if gives_way {
            self.remove(index, place);
        }
        gives_way
    }

    fn remove(&mut self, index: usize, place: usize) {
        let Some(Bucket { tags, entries }) =
            self.buckets.get_mut(index).filter(|bucket| place < bucket.entries.len())
        else {
            return;
        };
        let entry = entries.swap_remove(place);
        // The last one has taken its place.
        let last = tags.get(entries.len()).copied();
        if let Some((tag, last)) = tags.get_mut(place).zip(last) {
            *tag = last;
        }
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(entry_size(&entry.text, &entry.token));
        if let Some(count) = self.per_issuer.get_mut(entry.issuer.place()) {
            *count = count.saturating_sub(1);
        }
        if let Some(count) = self.per_client.get_mut(&entry.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_client.remove(&entry.client);
            }
        }
    }

    /// Whether the issuer is over its equal share, and how many entries the client has.
    fn weight(&self, issuer: IssuerId, client: u64) -> (bool, usize) {
        let share = self.settings.entries.checked_div(self.per_issuer.len()).unwrap_or_default();
        let held = self.per_issuer.get(issuer.place()).copied().unwrap_or_default();
        (held > share, self.per_client.get(&client).copied().unwrap_or_default())
    }

    /// The end of a token is its signature, which only the issuer can choose: hashing only that is as good as hashing
    /// all of it, and the comparison is in full anyway.
    fn hash_of(&self, text: &[u8]) -> u64 {
        self.hash(&[text.get(text.len().saturating_sub(HASHED_TAIL)..).unwrap_or_default()])
    }

    fn client_of(&self, issuer: IssuerId, client: Option<&str>) -> u64 {
        self.hash(&[&issuer.0.to_le_bytes(), client.unwrap_or_default().as_bytes()])
    }

    fn bucket_of(&self, hash: u64) -> usize {
        usize::try_from(hash >> 32).unwrap_or_default().checked_rem(self.buckets.len()).unwrap_or_default()
    }

    fn hash(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.seed);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }
}

/// The half of a hash that does not choose the bucket.
fn tag_of(hash: u64) -> u32 {
    u32::try_from(hash & u64::from(u32::MAX)).unwrap_or_default()
}

/// Which tokens have found no place lately, about: one of a few is taken for one of them that it is not.
#[derive(Debug)]
struct Doorkeeper {
    bits: Box<[u64]>,
    set: usize,
}

impl Doorkeeper {
    fn new(entries: usize) -> Self {
        let words = entries.saturating_mul(BITS_PER_ENTRY).div_ceil(64).max(1);
        Self { bits: core::iter::repeat_n(0, words).collect(), set: 0 }
    }

    /// Whether the token has been here before; it has from now on.
    fn admits(&mut self, hash: u64) -> bool {
        // Not the bits that choose the bucket.
        let (word, bit) = (hash & u64::from(u32::MAX), hash >> 58);
        let words = u64::try_from(self.bits.len()).unwrap_or(u64::MAX);
        let place = word.checked_rem(words).and_then(|place| usize::try_from(place).ok()).unwrap_or_default();
        let mask = 1_u64.rotate_left(u32::try_from(bit).unwrap_or_default());
        let Some(word) = self.bits.get_mut(place) else { return false };
        if *word & mask != 0 {
            return true;
        }
        *word |= mask;
        self.set = self.set.saturating_add(1);
        if self.set > self.bits.len().saturating_mul(64 / BITS_PER_ENTRY) {
            self.bits.fill(0);
            self.set = 0;
        }
        false
    }
}

fn entry_size(text: &[u8], token: &VerifiedToken) -> usize {
    size_of::<Entry>().saturating_add(text.len()).saturating_add(token.size())
}

/// Places in a bucket: enough that few buckets are full in a cache that is half full, few enough to look through.
const WAYS: usize = 8;
/// What it has seen is forgotten when there are as many as there may be entries: one bit of four is set then.
const BITS_PER_ENTRY: usize = 4;
/// Eight buckets are 64 entries: enough to make room for the largest token where entries are of a common size.
const MAX_SWEPT: usize = 8;
/// Two blocks of the hash, of the 43 characters and more that a signature has.
const HASHED_TAIL: usize = 32;
