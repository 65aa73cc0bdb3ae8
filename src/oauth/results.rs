//! All results that metrics tell of calls. Tests hold them against the errors and the documentation.

use super::fault::TokenFault;
use super::fetch::FetchError;

impl TokenFault {
    /// All results of token requests, as metrics have them.
    pub const RESULTS: [&'static str; 31] = [
        "obtained",
        "not_sent",
        "cluster_unknown",
        "not_reached",
        "reset",
        "lost",
        "too_many_requests",
        "status",
        "too_large",
        "markup",
        "malformed",
        "token_missing",
        "token_too_long",
        "token_characters",
        "token_type",
        "issued_type_missing",
        "expires_in",
        "expired_at_issue",
        "unsigned",
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
        "invalid_target",
        "temporarily_unavailable",
        "server_error",
        "slow_down",
        "other_error",
        Self::SUBJECT_REFUSED,
    ];
    /// The result of an exchange whose fault is about the caller's token, whatever code the server has for it: callers
    /// cause it as often as they like, and no operator has to change anything.
    pub const SUBJECT_REFUSED: &'static str = "subject_refused";
}

impl FetchError {
    /// All results of fetching a key set, as metrics have them.
    pub const KEY_SET_RESULTS: [&'static str; 14] = [
        "changed",
        "unchanged",
        "not_sent",
        "cluster_unknown",
        "not_reached",
        "reset",
        "lost",
        "status",
        "too_large",
        "content_coding",
        "malformed",
        "empty_set",
        "no_usable_key",
        "no_room",
    ];
    /// All results of fetching metadata for an issuer's keys.
    pub const METADATA_RESULTS: [&'static str; 17] = [
        "changed",
        "unchanged",
        "not_sent",
        "cluster_unknown",
        "not_reached",
        "reset",
        "lost",
        "status",
        "too_large",
        "content_coding",
        "metadata_too_long",
        "metadata_json",
        "metadata_other_issuer",
        "metadata_without_issuer",
        "metadata_plaintext",
        "metadata_without_jwks_uri",
        "metadata_jwks_uri",
    ];
    /// All results of fetching metadata for a client's token endpoint, or of taking over what another thread fetched.
    pub const ENDPOINT_METADATA_RESULTS: [&'static str; 19] = [
        "changed",
        "unchanged",
        "adopted",
        "rejected",
        "not_sent",
        "cluster_unknown",
        "not_reached",
        "reset",
        "lost",
        "status",
        "too_large",
        "content_coding",
        "metadata_too_long",
        "metadata_json",
        "metadata_other_issuer",
        "metadata_without_issuer",
        "metadata_plaintext",
        "metadata_without_token_endpoint",
        "metadata_token_endpoint",
    ];
}
