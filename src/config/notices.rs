//! What an operator should know about a configuration that holds together: the log tells it at the start, and
//! `attachectl check`.

use super::Config;
use crate::base::Level;
use crate::outbound::{self, EndpointLocation};
use crate::sharing::{PublicationUse, Sharing};

impl Config {
    /// What the threads share, and each setting about it that has less effect than it seems to have. One line each.
    pub fn notices(&self) -> Vec<(Level, &'static str)> {
        let mut notices = vec![(Level::Info, shared(self.sharing.as_ref()))];
        let unsealed = self.sharing.as_ref().filter(|sharing| sharing.shares_unsealed_tokens);
        match unsealed.map(Sharing::publication_use) {
            Some(PublicationUse::Confirm) => notices.push((Level::Warn, TOKENS_WITHOUT_VM_ID)),
            Some(PublicationUse::Adopt) if self.outbound.as_deref().is_some_and(discovers) => {
                notices.push((Level::Warn, UNSEALED_ENDPOINTS));
            }
            Some(PublicationUse::Adopt) | None => {}
        }
        notices
    }
}

fn shared(sharing: Option<&Sharing>) -> &'static str {
    let Some(sharing) = sharing else {
        return "threads share nothing: each fetches and obtains all for itself";
    };
    match sharing.publication_use() {
        PublicationUse::Adopt if sharing.is_sealed() => "threads share key sets, metadata and tokens, sealed",
        PublicationUse::Adopt if sharing.shares_tokens() => {
            "threads share key sets, issuers' metadata and tokens unsealed: every module of this `vm_id` can \
             read and replace them"
        }
        PublicationUse::Adopt => {
            "threads share key sets and issuers' metadata unsealed: every module of this `vm_id` can replace \
             them; each thread obtains its own tokens"
        }
        PublicationUse::Confirm => {
            "threads share no documents and no tokens: there is neither a `vm_id` nor a sealing secret, so any \
             module of the proxy could have written them. Each thread fetches for itself; what another one \
             publishes only confirms, for a while, what it has. With `sharing.process.sealing_secret` all is \
             shared"
        }
    }
}

fn discovers(outbound: &outbound::Settings) -> bool {
    outbound.endpoints.iter().any(|endpoint| matches!(endpoint.location, EndpointLocation::Discovered(_)))
}

const TOKENS_WITHOUT_VM_ID: &str = "\
    sharing.process.tokens: `unsealed` has no effect without a `vm_id`: any module of the proxy could put a \
    token of its own in the place of ours. Each thread obtains its own tokens, unless \
    `sharing.process.sealing_secret` seals them";
const UNSEALED_ENDPOINTS: &str = "\
    sharing.process.tokens: `unsealed` is not for the metadata of token endpoints: a module that can replace it \
    chooses where the client's secret is sent. Each thread fetches it for itself, unless \
    `sharing.process.sealing_secret` seals it";
