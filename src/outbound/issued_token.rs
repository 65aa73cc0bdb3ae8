//! What a token endpoint has issued, and how long it counts.

use super::lifetime::expiry;
use super::settings::Client;
use super::subject::Subject;
use crate::base::{HttpReply, Secret, Timestamp};
use crate::oauth::{GrantedScopes, TokenAnswer, TokenFailure, TokenFault, TokenQuery};

/// A token request, by what its reply is held against.
pub(super) struct SentRequest<'a> {
    pub(super) client: &'a Client,
    pub(super) sent: Timestamp,
    /// The caller's token, for an exchange: what it is exchanged for counts no longer than it does.
    pub(super) subject: Option<&'a Subject>,
    pub(super) max_token_bytes: usize,
}

/// A token as it was issued.
pub(super) struct IssuedToken {
    pub(super) token: Secret,
    /// When it was asked for.
    pub(super) sent: Timestamp,
    pub(super) expires: Timestamp,
    /// What it is for.
    pub(super) scopes: GrantedScopes,
}

impl SentRequest<'_> {
    /// Reads the reply.
    pub(super) fn read(&self, reply: HttpReply, now: Timestamp) -> Result<IssuedToken, TokenFailure> {
        let &Self { client, sent, subject, max_token_bytes } = self;
        let subject_token = subject.map(|subject| &subject.token);
        let query = TokenQuery { request: &client.request, subject: subject_token, max_token_bytes };
        let TokenAnswer { token, expires_in, scopes } = TokenAnswer::read(reply, query, now)?;
        let own = expiry(token.expose(), expires_in, sent, &client.lifetime);
        let expires = subject.map_or(own, |subject| own.min(subject.expires));
        if expires <= now {
            return Err(TokenFault::ExpiredAtIssue.into());
        }
        Ok(IssuedToken { token, sent, expires, scopes })
    }
}

/// How long a token may be: what still fits the headers of a request, with room for others.
pub const MAX_ACCESS_TOKEN_BYTES: usize = 16 * 1024;
