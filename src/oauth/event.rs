use super::fetch::FetchError;
use crate::sharing::Unreadable;

/// Something happened to a document. `C` is what its new content changes, as the document's owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentEvent<C> {
    /// Another thread fetched it.
    pub is_shared: bool,
    /// How many fetches of it had failed in a row before.
    pub failures: u32,
    /// What.
    pub outcome: FetchOutcome<C>,
}

/// What became of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchOutcome<C> {
    /// Its content is another.
    Changed(C),
    /// It is what it was, as of now.
    Unchanged,
    /// Another thread has fetched it, and it is what it was.
    Confirmed,
    /// It could not be fetched; what there is stays.
    Failed(FetchError),
    /// It is not at the first of its addresses; the other one is asked next.
    NotFoundHere(FetchError),
    /// What lies where another thread would have put it is not to be believed.
    Rejected(Unreadable),
    /// It has been stale for too long: its content counts no more.
    Expired,
}

/// Reads a document; an error counts as a failed fetch.
pub(crate) type Read<'a, T> = &'a dyn Fn(&[u8]) -> Result<T, FetchError>;

impl<T> DocumentEvent<T> {
    /// An event of this thread's own.
    pub(crate) const fn own(failures: u32, outcome: FetchOutcome<T>) -> Self {
        Self { is_shared: false, failures, outcome }
    }

    /// An event that another thread's publication made.
    pub(crate) const fn shared(failures: u32, outcome: FetchOutcome<T>) -> Self {
        Self { is_shared: true, failures, outcome }
    }

    /// The same event, as `change` sees a new content; `None` where it changes nothing.
    pub(crate) fn map<C>(self, change: impl FnOnce(T) -> Option<C>) -> DocumentEvent<C> {
        let Self { is_shared, failures, outcome } = self;
        let outcome = match outcome {
            FetchOutcome::Changed(content) => {
                change(content).map_or(FetchOutcome::Unchanged, FetchOutcome::Changed)
            }
            FetchOutcome::Unchanged => FetchOutcome::Unchanged,
            FetchOutcome::Confirmed => FetchOutcome::Confirmed,
            FetchOutcome::Failed(error) => FetchOutcome::Failed(error),
            FetchOutcome::NotFoundHere(error) => FetchOutcome::NotFoundHere(error),
            FetchOutcome::Rejected(why) => FetchOutcome::Rejected(why),
            FetchOutcome::Expired => FetchOutcome::Expired,
        };
        DocumentEvent { is_shared, failures, outcome }
    }

    /// Whether its content counts no more.
    pub(crate) fn is_expired(&self) -> bool {
        matches!(self.outcome, FetchOutcome::Expired)
    }
}
