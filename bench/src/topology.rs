//! What is around the filter: nothing behind it, or an upstream and an authorization server.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::contender::{Modules, bootstrap, wasm};
use crate::envoy_under_test::{EnvoyUnderTest, Testbed};
use crate::outbound::{Carries, Position, Server, attache};

/// What is around the filter.
pub(crate) enum Topology<'p> {
    /// It verifies tokens, and nothing is behind it.
    Inbound(&'p Testbed),
    /// It puts tokens on requests to an upstream.
    Outbound(&'p Testbed, Server),
}

impl<'p> Topology<'p> {
    /// Starts an authorization server for the clients of requests that go out.
    pub(crate) fn outbound(testbed: &'p Testbed) -> Result<Self> {
        Ok(Self::Outbound(testbed, Server::start()?))
    }

    /// Starts an Envoy without a filter.
    pub(crate) fn plain(&self) -> Result<EnvoyUnderTest> {
        match self {
            Self::Inbound(testbed) => EnvoyUnderTest::start(testbed, bootstrap(vec![])),
            Self::Outbound(testbed, server) => {
                server.start_envoy(testbed, POSITION, vec![], Carries::Nothing)
            }
        }
    }

    /// Starts an Envoy whose filter has this configuration.
    pub(crate) fn start_envoy(&self, configuration: &Value, modules: Modules<'_>) -> Result<EnvoyUnderTest> {
        match self {
            Self::Inbound(testbed) => {
                let filter = wasm("attache", modules.attache, Some(configuration));
                EnvoyUnderTest::start(testbed, bootstrap(vec![filter]))
            }
            Self::Outbound(testbed, server) => {
                server.start_envoy(testbed, POSITION, vec![attache(modules, configuration)], Carries::Token)
            }
        }
    }

    /// How often a token was asked for.
    pub(crate) fn token_requests(&self) -> u64 {
        match self {
            Self::Inbound(_) => 0,
            Self::Outbound(_, server) => server.token_requests(),
        }
    }

    /// Fails unless each of so many clients has asked for its token since the count was `before`.
    pub(crate) fn check_obtained(&self, clients: usize, before: u64) -> Result<()> {
        let asked = self.token_requests() - before;
        let wanted = match self {
            Self::Inbound(_) => 0,
            Self::Outbound(..) => clients as u64,
        };
        ensure!(asked >= wanted, "{wanted} clients have asked for {asked} tokens");
        Ok(())
    }
}

/// Where the filter is, where it puts tokens on requests.
pub(crate) const POSITION: Position = Position::Downstream;
