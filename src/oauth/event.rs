use super::fetch::FetchError;
use crate::sharing::Unreadable;

/// What happened to a document.
#[derive(Debug)]
pub(crate) struct Event<T> {
    pub(crate) news: News<T>,
    /// Another thread fetched it.
    pub(crate) is_shared: bool,
}

#[derive(Debug)]
pub(crate) enum News<T> {
    /// It is another one.
    New(T),
    /// It is what it was, as of now.
    Same,
    /// Another thread has fetched it, and it is what it was.
    Confirmed,
    /// It could not be fetched; what there is stays.
    Failed(FetchError),
    /// It is not where it was looked for; the other place is asked next.
    Elsewhere(FetchError),
    /// What lies where another thread would have put it is not to be believed.
    Refused(Unreadable),
    /// It has been stale for too long, and counts no more.
    Expired,
}

/// Reads a document; an error counts as a failed fetch.
pub(crate) type Read<'a, T> = &'a dyn Fn(&[u8]) -> Result<T, FetchError>;

impl<T> Event<T> {
    pub(crate) const fn ours(news: News<T>) -> Self {
        Self { news, is_shared: false }
    }
}
