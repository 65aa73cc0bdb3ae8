//! What we ask a token endpoint (RFC 6749 §4.4.2, RFC 8693 §2.1, RFC 8707 §2).

use core::time::Duration;
use std::rc::Rc;

use url::form_urlencoded::Serializer;

use super::address::Address;
use super::authentication::{Credentials, LONGEST_ESCAPE};
use crate::base::{HttpCall, Secret};
use crate::jose::SigningError;
use crate::sharing::Context;

/// A token request, but for where it goes and what changes with each.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Who asks.
    pub credentials: Credentials,
    /// For what.
    pub grant: Grant,
    /// `scope`; may be empty.
    pub scopes: Rc<[Rc<str>]>,
    /// `audience`, for the servers that want it.
    pub audience: Option<Rc<str>>,
    /// `resource`, possibly several (RFC 8707).
    pub resources: Vec<Rc<str>>,
    /// Further parameters, none of which is one of ours.
    pub parameters: Vec<(Rc<str>, Rc<str>)>,
    /// Further header fields, none of which is one of ours.
    pub headers: Vec<(Rc<str>, Rc<str>)>,
    /// What its answer may say as `token_type` besides Bearer, in whatever case.
    pub token_types: Vec<Rc<str>>,
}

/// What a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// `client_credentials`.
    ClientCredentials,
    /// A token of the caller's in exchange for one of ours (RFC 8693).
    TokenExchange {
        /// `subject_token_type`.
        subject_token_type: Rc<str>,
        /// `requested_token_type`.
        requested_token_type: Option<Rc<str>>,
    },
}

impl TokenRequest {
    /// The call. `subject` is the subject token of an exchange.
    ///
    /// # Errors
    /// When the assertion that authenticates the client cannot be signed.
    pub(crate) fn call(
        &self,
        (cluster, address): (&Rc<str>, &Address),
        timeout: Duration,
        subject: Option<&str>,
        context: &Context<'_>,
    ) -> Result<HttpCall, SigningError> {
        // As long as it can become: a buffer that grows leaves its contents behind.
        let texts = self.texts().chain(subject).map(str::len);
        let size = texts.fold(self.credentials.size(), usize::saturating_add);
        let size = size.saturating_mul(LONGEST_ESCAPE).saturating_add(MAX_OWN_BYTES);
        let mut form = Serializer::new(String::with_capacity(size));
        match &self.grant {
            Grant::ClientCredentials => {
                form.append_pair("grant_type", "client_credentials");
            }
            Grant::TokenExchange { subject_token_type, requested_token_type } => {
                form.append_pair("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
                form.append_pair("subject_token", subject.unwrap_or_default());
                form.append_pair("subject_token_type", subject_token_type);
                if let Some(requested) = requested_token_type {
                    form.append_pair("requested_token_type", requested);
                }
            }
        }
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        let audience = self.audience.iter().map(|audience| ("audience", &**audience));
        let resources = self.resources.iter().map(|resource| ("resource", &**resource));
        let parameters = self.parameters.iter().map(|(name, value)| (&**name, &**value));
        form.extend_pairs(audience.chain(resources).chain(parameters));
        let authorization = self.credentials.apply(&mut form, context)?;
        let mut headers: Vec<(Rc<str>, Secret)> = [
            (":method", "POST"),
            (":scheme", address.scheme),
            (":authority", &address.authority),
            (":path", &address.path),
            ("content-type", "application/x-www-form-urlencoded"),
            ("accept", "application/json"),
            ("user-agent", concat!("attache/", env!("CARGO_PKG_VERSION"))),
        ]
        .into_iter()
        .map(|(name, value)| (name.into(), Secret::new(value)))
        .collect();
        let own = self.headers.iter().map(|(name, value)| (Rc::clone(name), Secret::new(value.as_bytes())));
        headers.extend(own);
        headers.extend(authorization.map(|value| ("authorization".into(), value)));
        Ok(HttpCall { cluster: Rc::clone(cluster), headers, body: Secret::new(form.finish()), timeout })
    }

    /// The configured texts of the form.
    fn texts(&self) -> impl Iterator<Item = &str> {
        let types = match &self.grant {
            Grant::ClientCredentials => [None, None],
            Grant::TokenExchange { subject_token_type, requested_token_type } => {
                [Some(subject_token_type), requested_token_type.as_ref()]
            }
        };
        let parameters = self.parameters.iter().flat_map(|(name, value)| [name, value]);
        let lists = self.scopes.iter().chain(&self.audience).chain(&self.resources);
        lists.chain(parameters).chain(types.into_iter().flatten()).map(AsRef::as_ref)
    }

    /// All of it that changes what a server answers, or whether its answer is taken.
    pub(crate) fn fields(&self) -> Vec<Vec<u8>> {
        let mut fields = self.credentials.fields().to_vec();
        match &self.grant {
            Grant::ClientCredentials => fields.push(b"client_credentials".to_vec()),
            Grant::TokenExchange { subject_token_type, requested_token_type } => {
                fields.push(b"token_exchange".to_vec());
                fields.push(subject_token_type.as_bytes().into());
                fields.push(requested_token_type.as_deref().unwrap_or_default().into());
            }
        }
        // A list is led by its length, so that no two lists together read like another two.
        let mut list = |items: Vec<&str>| {
            fields.push(items.len().to_string().into());
            fields.extend(items.into_iter().map(|item| item.as_bytes().to_vec()));
        };
        list(self.scopes.iter().map(AsRef::as_ref).collect());
        list(self.audience.iter().map(AsRef::as_ref).collect());
        list(self.resources.iter().map(AsRef::as_ref).collect());
        list(self.token_types.iter().map(AsRef::as_ref).collect());
        for pairs in [&self.parameters, &self.headers] {
            list(pairs.iter().flat_map(|(name, value)| [&**name, &**value]).collect());
        }
        fields
    }
}

/// What a form says besides configured texts: the names of its fields, and of its grant.
const MAX_OWN_BYTES: usize = 1024;
