//! What an operator should know about a configuration that holds together: the log tells it at the start, and
//! `attachectl check`.

use crate::base::Level;
use crate::outbound::{self, EndpointLocation};
use crate::sharing::{PublicationUse, Sharing};

/// What the threads share, and each setting about it that has less effect than it seems to have. One line each.
pub(super) fn notices(sharing: Option<&Sharing>, outbound: Option<&outbound::Settings>) -> Vec<Notice> {
    let mut notices = vec![shared(sharing)];
    let unsealed = sharing.filter(|sharing| sharing.shares_unsealed_tokens);
    match unsealed.map(Sharing::publication_use) {
        Some(PublicationUse::Confirm) => notices.push(TOKENS_WITHOUT_VM_ID),
        Some(PublicationUse::Adopt) if outbound.is_some_and(discovers) => notices.push(UNSEALED_ENDPOINTS),
        Some(PublicationUse::Adopt) | None => {}
    }
    notices
}

fn shared(sharing: Option<&Sharing>) -> Notice {
    let Some(sharing) = sharing else { return NOTHING };
    match sharing.publication_use() {
        PublicationUse::Adopt if sharing.is_sealed() => SEALED,
        PublicationUse::Adopt if sharing.shares_tokens() => UNSEALED_TOKENS,
        PublicationUse::Adopt => UNSEALED,
        PublicationUse::Confirm => CONFIRMED,
    }
}

fn discovers(outbound: &outbound::Settings) -> bool {
    outbound.endpoints.iter().any(|endpoint| matches!(endpoint.location, EndpointLocation::Discovered(_)))
}

/// A level and a text.
pub type Notice = (Level, &'static str);

/// All notices: docs/log-lines.md has them.
pub const NOTICES: [Notice; 7] =
    [NOTHING, SEALED, UNSEALED_TOKENS, UNSEALED, CONFIRMED, TOKENS_WITHOUT_VM_ID, UNSEALED_ENDPOINTS];

const NOTHING: Notice = (Level::Info, "threads share nothing: each fetches and obtains all for itself");
const SEALED: Notice = (Level::Info, "threads share key sets, metadata and tokens, sealed");
const UNSEALED_TOKENS: Notice = (
    Level::Info,
    "threads share key sets, issuers' metadata and tokens unsealed: every module of this `vm_id` can read and \
     replace them",
);
const UNSEALED: Notice = (
    Level::Info,
    "threads share key sets and issuers' metadata unsealed: every module of this `vm_id` can replace them; each \
     thread obtains its own tokens",
);
const CONFIRMED: Notice = (
    Level::Info,
    "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret, so any module of \
     the proxy could have written them. Each thread fetches for itself; what another one publishes only confirms, \
     for a while, what it has. With `sharing.process.sealing_secret` all is shared",
);
const TOKENS_WITHOUT_VM_ID: Notice = (
    Level::Warn,
    "sharing.process.tokens: `unsealed` has no effect without a `vm_id`: any module of the proxy could put a \
     token of its own in the place of ours. Each thread obtains its own tokens, unless \
     `sharing.process.sealing_secret` seals them",
);
const UNSEALED_ENDPOINTS: Notice = (
    Level::Warn,
    "sharing.process.tokens: `unsealed` is not for the metadata of token endpoints: a module that can replace it \
     chooses where the client's secret is sent. Each thread fetches it for itself, unless \
     `sharing.process.sealing_secret` seals it",
);
