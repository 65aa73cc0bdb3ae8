//! Clients of `outbound` whose tokens fetches of `inbound` carry.

use std::collections::HashMap;
use std::rc::Rc;

use super::reader::{Node, printable};
use super::value::Value;
use crate::oauth::FetchClient;
use crate::{inbound, outbound};

/// The clients that fetches may name.
pub(super) struct FetchClients<'a> {
    has_outbound: bool,
    /// Each name, and whether the client has a token of its own. What is wrong with a client itself is told there.
    names: HashMap<&'a str, bool>,
}

impl<'a> FetchClients<'a> {
    /// Those of the block `outbound`, as far as they can be read.
    pub(super) fn of(outbound: Option<&Node<'a>>) -> Self {
        let member = |value: &'a Value, name: &str| {
            let members = value.as_object()?;
            members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
        };
        let clients = outbound.and_then(|node| member(node.value(), "clients")?.as_list());
        let clients = clients.into_iter().flatten();
        let named = clients.filter_map(|client| {
            let is_own = member(client, "token_exchange").is_none();
            Some((member(client, "name")?.as_str()?, is_own))
        });
        Self { has_outbound: outbound.is_some(), names: named.collect() }
    }

    /// The name of one of them. Its identity is known when the block `outbound` has been read.
    pub(super) fn read(&self, node: &Node<'_>) -> Option<FetchClient> {
        let name = node.string()?;
        match self.names.get(name) {
            Some(true) => Some(FetchClient { name: name.into(), identity: [0; 32] }),
            Some(false) => {
                node.problem("this client exchanges the tokens of callers: it has none of its own")
            }
            None if self.has_outbound => node.problem(format_args!("unknown client `{}`", printable(name))),
            None => node.problem("there is no block `outbound` with this client"),
        }
    }
}

/// The names that the sources of keys have.
pub(super) fn named(inbound: Option<&inbound::Settings>) -> Vec<Rc<str>> {
    let sources = inbound.into_iter().flat_map(|inbound| &inbound.issuers).flat_map(|issuer| &issuer.keys);
    sources.filter_map(|source| source.client()).map(|client| Rc::clone(&client.name)).collect()
}

/// Gives each name its client.
pub(super) fn complete(inbound: &mut inbound::Settings, outbound: Option<&outbound::Settings>) {
    let sources = inbound.issuers.iter_mut().flat_map(|issuer| &mut issuer.keys);
    for client in sources.filter_map(|source| source.client_mut()?.as_mut()) {
        if let Some(found) = outbound.and_then(|outbound| outbound.fetch_client(&client.name)) {
            *client = found;
        }
    }
}
