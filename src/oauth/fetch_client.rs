//! Documents that are not for everybody: a fetch carries the token of a client of ours.

use std::rc::Rc;

use crate::base::{CallBudget, Secret, Timestamp};

/// The client whose token a fetch carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchClient {
    /// Its name.
    pub name: Rc<str>,
    /// Tells it from every other client, of other filters too: what is fetched for one client is no other's.
    pub identity: [u8; 32],
}

/// A header that lets a fetch in: its name and its value.
pub type Credential = (Rc<str>, Secret);

/// What a fetch takes: one of the calls that may be sent, and perhaps a token.
pub type FetchMeans<'a> = (&'a mut CallBudget, &'a mut dyn ClientTokens);

/// What has the tokens of clients.
pub trait ClientTokens {
    /// What lets the fetches of this client in; `None` until there is a token, which is then asked for.
    fn credential(&mut self, client: &FetchClient, now: Timestamp) -> Option<Credential>;
}

/// There are none.
#[derive(Clone, Copy, Debug)]
pub struct NoTokens;

impl ClientTokens for NoTokens {
    fn credential(&mut self, _: &FetchClient, _: Timestamp) -> Option<Credential> {
        None
    }
}
