//! Which keys a token was held against, and why each other key was not, or cannot be used at all.

use attache::inbound::Issuer;
use attache::issuer::KeySource;
use attache::jose::{Algorithm, Key, KeyError, KeyId, KeySet, SignatureError};
use serde_json::{Value, json};

use super::page::{Mark, Page, quoted};

/// What the filter did with an issuer's keys.
#[derive(Debug, Default)]
pub(super) struct Trials {
    /// The token's algorithm and key id, once its header was read.
    pub(super) header: Option<(Algorithm, Option<String>)>,
    /// How far it came.
    pub(super) progress: Progress,
    /// The keys that the token was held against, and how each fared.
    pub(super) tried: Vec<(KeyId, Result<(), SignatureError>)>,
}

/// How far a token came on its way to the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Progress {
    /// It was denied before.
    #[default]
    Denied,
    /// It came there, and the filter has no keys.
    NoKeys,
    /// It was held against keys.
    Tried,
}

/// The keys of one issuer: those of the configuration, and those of the document that was given.
pub(super) struct KeyReport {
    entries: Vec<Entry>,
    set: KeySet,
    /// Why the document that was given holds no keys at all.
    fault: Option<String>,
}

struct Entry {
    /// What it is called, and what it says that it is.
    label: String,
    key: Result<KeyId, KeyError>,
}

impl KeyReport {
    /// Reads them as the filter does.
    pub(super) fn new(issuer: &Issuer, document: Option<&[u8]>) -> Self {
        let mut report = Self { entries: Vec::new(), set: KeySet::default(), fault: None };
        let mut sets = Vec::new();
        for source in &issuer.keys {
            if let KeySource::Inline(set) = source {
                sets.push((**set).clone());
                let labelled = set.iter().map(|key| Entry { label: inline_label(key), key: Ok(key.id()) });
                report.entries.extend(labelled);
            }
        }
        if let Some(document) = document {
            match KeySet::parse(document) {
                Ok(parsed) => {
                    if parsed.set.is_empty() && parsed.skipped.is_empty() {
                        report.fault = Some("it lists no key".to_owned());
                    }
                    sets.push(parsed.set);
                    report.entries.extend(entries(document));
                }
                Err(error) => report.fault = Some(error.to_string()),
            }
        }
        report.set = KeySet::united(&sets.iter().collect::<Vec<_>>());
        report
    }

    /// Why the document that was given holds no keys at all, if it holds none.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// How many keys the document and the configuration list, and how many of them can be used.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.iter().filter(|entry| entry.key.is_ok()).count())
    }

    /// Writes every key, or only those that cannot be used.
    pub(super) fn write(&self, page: &mut Page, issuer: &str, trials: &Trials, all: bool) {
        let shown: Vec<&Entry> = self.entries.iter().filter(|entry| all || entry.key.is_err()).collect();
        if shown.is_empty() {
            return;
        }
        page.heading(&format!("the keys of {issuer}"));
        for entry in shown {
            let (mark, fate) = match &entry.key {
                Err(why) => (Mark::Bad, format!("not usable: {why}")),
                Ok(key) => self.fate(key, trials),
            };
            page.line(mark, &format!("{}: {fate}", entry.label));
        }
    }

    fn fate(&self, id: &KeyId, trials: &Trials) -> (Mark, String) {
        let tried = trials.tried.iter().find(|(tried, _)| tried == id);
        match tried {
            Some((_, Ok(()))) => return (Mark::Good, "tried: the signature is this key's".to_owned()),
            Some((_, Err(error))) => return (Mark::Bad, format!("tried: {error}")),
            None => {}
        }
        let Some((algorithm, kid)) = &trials.header else {
            return (Mark::Open, "usable; no token was held against it".to_owned());
        };
        let Some(key) = self.set.iter().find(|key| key.id() == *id) else {
            return (Mark::Open, "not tried: it is there twice".to_owned());
        };
        let mut candidates = self.set.candidates(*algorithm, kid.as_deref());
        let why = if candidates.any(|candidate| candidate.id() == *id) {
            let why = match trials.progress {
                Progress::Denied => "not tried: the token was denied before",
                Progress::NoKeys => "not tried: the filter does not have it",
                Progress::Tried => "not needed",
            };
            why.to_owned()
        } else if !key.algorithms().contains(*algorithm) {
            format!("not tried: it is for {}, and the token says {algorithm}", algorithms(key))
        } else {
            let named = kid.as_deref().map_or("none".to_owned(), quoted);
            format!("not tried: the token names the key {named}")
        };
        (Mark::Open, why)
    }
}

/// Each entry of a document by itself: what it is called, and what the filter makes of it.
fn entries(document: &[u8]) -> Vec<Entry> {
    let document: Value = serde_json::from_slice(document).unwrap_or_default();
    let keys = document.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let entry = |(place, jwk): (usize, Value)| {
        let label = label(place, &jwk);
        let parsed = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).ok()?;
        let key = match (parsed.set.iter().next(), parsed.skipped.first()) {
            (Some(key), _) => Ok(key.id()),
            (None, Some(skipped)) => Err(skipped.why),
            (None, None) => return None,
        };
        Some(Entry { label, key })
    };
    keys.into_iter().enumerate().filter_map(entry).collect()
}

fn label(place: usize, jwk: &Value) -> String {
    let text = |member: &str| jwk.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    let kid =
        text("kid").map_or_else(|| format!("keys[{place}], no kid"), |kid| format!("kid {}", quoted(kid)));
    let kty = text("kty").map_or("no kty".to_owned(), |kty| format!("kty {}", quoted(kty)));
    let alg = text("alg").map_or("no alg".to_owned(), |alg| format!("alg {}", quoted(alg)));
    format!("{kid}, {kty}, {alg}")
}

fn inline_label(key: &Key) -> String {
    let kid = key.kid().map_or("no kid".to_owned(), |kid| format!("kid {}", quoted(kid)));
    format!("{kid}, of the configuration, for {}", algorithms(key))
}

fn algorithms(key: &Key) -> String {
    key.algorithms().iter().map(Algorithm::name).collect::<Vec<_>>().join(" ")
}
