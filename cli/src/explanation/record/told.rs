//! What is told of a record while its halves are read: the page, what does not fit, and the advice.

use super::super::page::{Explanation, Mark, Page, quoted};

/// What has been told of a record so far.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) page: Page,
    /// Where record and configuration do not fit.
    misfits: Vec<String>,
    /// Who can do what.
    advice: Vec<(&'static str, String)>,
}

impl Told {
    pub(super) fn misfit(&mut self, text: String) {
        self.misfits.push(text);
    }

    pub(super) fn advise(&mut self, who: &'static str, what: impl Into<String>) {
        self.advice.push((who, what.into()));
    }

    pub(super) fn finish(mut self) -> Explanation {
        if !self.advice.is_empty() {
            self.page.heading("what to do");
        }
        for (who, what) in &self.advice {
            self.page.detail(who, what);
        }
        let fits = self.misfits.is_empty();
        if !fits {
            self.page.heading(
                "record and configuration do not fit, so the record may be of another version of it",
            );
            for misfit in &self.misfits {
                self.page.line(Mark::Bad, misfit);
            }
        }
        self.page.finish(fits)
    }
}

/// A name that is configured and resembles this one, as words to append.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let near = |known: &&str| strsim::damerau_levenshtein(known, name) <= MAX_DISTANCE;
    // What is long is no name.
    let found = if name.len() > MAX_NAME { None } else { known.into_iter().find(near) };
    found.map(|known| format!("; it has {}", quoted(known))).unwrap_or_default()
}

/// The longest name of a configuration.
const MAX_NAME: usize = 64;
/// How many letters may differ.
const MAX_DISTANCE: usize = 2;
