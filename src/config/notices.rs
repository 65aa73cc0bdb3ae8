//! What an operator should know about a configuration that holds together: the log tells it at the start, and
//! `attachectl check`.

use crate::base::Level;
use crate::inbound;
use crate::outbound::{self, EndpointLocation};
use crate::policy::Mode;
use crate::sharing::{PublicationUse, Sharing};

/// What the threads share, each setting about it that has less effect than it seems to have, and whether nothing is
/// enforced. One line each.
pub(super) fn notices(
    sharing: Option<&Sharing>,
    inbound: Option<&inbound::Settings>,
    outbound: Option<&outbound::Settings>,
) -> Vec<Notice> {
    let mut notices = vec![shared(sharing)];
    notices.extend(inbound.and_then(unenforced));
    notices.extend(inbound.filter(|inbound| inbound.routes.loses_message_rules()).map(|_| MESSAGES_UNJUDGED));
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

/// Whether tokens are only reported of, whichever route a request is for.
fn unenforced(inbound: &inbound::Settings) -> Option<Notice> {
    let mut modes = inbound
        .routes
        .routes()
        .iter()
        .filter(|route| route.rule.requirement().is_some())
        .map(|route| route.mode)
        .peekable();
    if modes.peek().is_some() && modes.all(|mode| mode == Mode::ReportOnly) {
        return Some(ROUTES_REPORT_ONLY);
    }
    inbound.issuers.iter().all(|issuer| issuer.mode == Mode::ReportOnly).then_some(ISSUERS_REPORT_ONLY)
}

/// One line for the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How important it is.
    pub level: Level,
    /// What it is about.
    pub topic: NoticeTopic,
    /// The line.
    pub text: &'static str,
}

/// What a notice is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeTopic {
    /// What the threads share.
    Sharing,
    /// What is only reported.
    ReportOnly,
    /// Messages of MCP that no rule is for.
    Messages,
}

/// All notices: docs/log-lines.md has them.
pub const NOTICES: [Notice; 10] = [
    NOTHING,
    SEALED,
    UNSEALED_TOKENS,
    UNSEALED,
    CONFIRMED,
    TOKENS_WITHOUT_VM_ID,
    UNSEALED_ENDPOINTS,
    ROUTES_REPORT_ONLY,
    ISSUERS_REPORT_ONLY,
    MESSAGES_UNJUDGED,
];

const NOTHING: Notice =
    sharing(Level::Info, "threads share nothing: each fetches and obtains all for itself");
const SEALED: Notice = sharing(Level::Info, "threads share key sets, metadata and tokens, sealed");
const UNSEALED_TOKENS: Notice = sharing(
    Level::Info,
    "threads share key sets, issuers' metadata and tokens unsealed: every module of this `vm_id` can read and \
     replace them",
);
const UNSEALED: Notice = sharing(
    Level::Info,
    "threads share key sets and issuers' metadata unsealed: every module of this `vm_id` can replace them; each \
     thread obtains its own tokens",
);
const CONFIRMED: Notice = sharing(
    Level::Info,
    "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret, so any module of \
     the proxy could have written them. Each thread fetches for itself; what another one publishes only confirms, \
     for a while, what it has. With `sharing.process.sealing_secret` all is shared",
);
const TOKENS_WITHOUT_VM_ID: Notice = sharing(
    Level::Warn,
    "sharing.process.tokens: `unsealed` has no effect without a `vm_id`: any module of the proxy could put a \
     token of its own in the place of ours. Each thread obtains its own tokens, unless \
     `sharing.process.sealing_secret` seals them",
);
const UNSEALED_ENDPOINTS: Notice = sharing(
    Level::Warn,
    "sharing.process.tokens: `unsealed` is not for the metadata of token endpoints: a module that can replace it \
     chooses where the client's secret is sent. Each thread fetches it for itself, unless \
     `sharing.process.sealing_secret` seals it",
);
const ROUTES_REPORT_ONLY: Notice = report_only(
    "report-only: every route that requires a token is `report_only`: no request is denied for its token, or for \
     having none",
);
const ISSUERS_REPORT_ONLY: Notice = report_only(
    "report-only: every issuer is `report_only`: of a token, only its signature, and whether the route accepts its \
     issuer, are enforced",
);
const MESSAGES_UNJUDGED: Notice = Notice {
    level: Level::Warn,
    topic: NoticeTopic::Messages,
    text: "mcp: a route without `mcp`, for a host of its own or with a slash at its path's end, takes requests from a \
           route of the same path beside which routes with `mcp` stand: those rules do not count for these requests",
};

const fn sharing(level: Level, text: &'static str) -> Notice {
    Notice { level, topic: NoticeTopic::Sharing, text }
}

const fn report_only(text: &'static str) -> Notice {
    Notice { level: Level::Warn, topic: NoticeTopic::ReportOnly, text }
}
