//! How the cost of a request and the memory grow with routes, issuers, keys, cached tokens and outbound clients: one
//! Envoy for each size, rounds in random order, and the same requests without a filter, which shows what the sizes do
//! to Envoy itself.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use attache_harness::envoy::Envoy;
use fastrand::Rng;
use serde_json::{Value, json};

use crate::comparison::Effort;
use crate::contender::{Contender, Modules, issuer_entry};
use crate::envoy_under_test::{Cost, EnvoyUnderTest, Testbed};
use crate::key::{Algorithm, Key};
use crate::load::Extent;
use crate::outbound::document;
use crate::progress::Progress;
use crate::requests::{Expectation, HOST, PATH, Requests};
use crate::statistics::{Estimate, median, ratio};
use crate::token::{AUDIENCE, Flaw, Issuer, Order, SCOPE, mint};
use crate::topology::{POSITION, Topology};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Axis {
    /// Routes in the table; requests go to all of them.
    Routes,
    /// Requirements with a name, each of ten routes: trees, with a client, a rule for a claim and a scope; requests go to
    /// all routes.
    Requirements,
    /// Hosts with a wildcard, a route each; requests go to all of them.
    Wildcards,
    /// Issuers with a key each; tokens of all of them, cached.
    Issuers,
    /// The same, every token new.
    IssuersCold,
    /// Keys, 125 at most an issuer; tokens of all of them, cached.
    Keys,
    /// The same, every token new.
    KeysCold,
    /// Tokens in the cache, in turn.
    Tokens,
    /// Clients of our own at one token endpoint, each with a destination; requests to all of them.
    Clients,
    /// Fields of the audit record; cached tokens.
    Audit,
}

/// What was measured of an axis, in the order of its sizes.
pub(crate) struct Growth {
    pub(crate) axis: Axis,
    pub(crate) points: Vec<Point>,
}

/// One size: the rounds of each run.
pub(crate) struct Point {
    pub(crate) size: usize,
    ours: Vec<Vec<Cost>>,
    plain: Vec<Vec<Cost>>,
    /// Of Envoy's process after its last round, in bytes, for each run.
    memory: Vec<f64>,
    /// Of the worker's VM then, in bytes, for each run.
    vm_memory: Vec<f64>,
}

/// What an Envoy of one size is configured with and asked.
struct Scenario {
    size: usize,
    /// None where the requests go out.
    issuers: Vec<Issuer>,
    configuration: Value,
    /// None where every token is new.
    requests: Option<Requests>,
}

impl Axis {
    pub(crate) const ALL: [Self; 10] = [
        Self::Routes,
        Self::Requirements,
        Self::Wildcards,
        Self::Issuers,
        Self::IssuersCold,
        Self::Keys,
        Self::KeysCold,
        Self::Tokens,
        Self::Clients,
        Self::Audit,
    ];

    /// Its name in `summary.json`.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Requirements => "requirements",
            Self::Wildcards => "wildcards",
            Self::Issuers => "issuers",
            Self::IssuersCold => "issuers_cold",
            Self::Keys => "keys",
            Self::KeysCold => "keys_cold",
            Self::Tokens => "tokens",
            Self::Clients => "clients",
            Self::Audit => "audit",
        }
    }

    /// Its name in a table.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Routes => "routes",
            Self::Requirements => "requirements",
            Self::Wildcards => "authority wildcards",
            Self::Issuers => "issuers",
            Self::IssuersCold => "issuers, every token new",
            Self::Keys => "keys",
            Self::KeysCold => "keys, every token new",
            Self::Tokens => "cached tokens",
            Self::Clients => "outbound clients",
            Self::Audit => "fields of the audit record",
        }
    }

    fn sizes(self) -> [usize; 4] {
        match self {
            Self::Routes | Self::Wildcards => [10, 100, 1_000, 10_000],
            Self::Requirements => [1, 10, 100, 1_000],
            Self::Issuers | Self::IssuersCold | Self::Keys | Self::KeysCold => [1, 10, 100, 1_000],
            Self::Tokens => [100, 1_000, 10_000, 100_000],
            Self::Clients => [1, 100, 1_000, 10_000],
            Self::Audit => [0, 1, 4, AUDIT_FIELDS.len()],
        }
    }

    fn is_cold(self) -> bool {
        matches!(self, Self::IssuersCold | Self::KeysCold)
    }

    fn scenario(self, size: usize, rng: &mut Rng) -> Result<Scenario> {
        let (issuers, keys) = match self {
            Self::Clients => return Ok(Scenario::outgoing(size, rng)),
            Self::Routes | Self::Requirements | Self::Wildcards | Self::Tokens | Self::Audit => (1, 1),
            Self::Issuers | Self::IssuersCold => (size, 1),
            Self::Keys | Self::KeysCold => {
                let issuers = size.div_ceil(KEYS_PER_ISSUER);
                (issuers, size.div_ceil(issuers))
            }
        };
        // The cheapest to make in such numbers; where they are verified while it counts, what Envoy's engine verifies.
        let algorithm = if self == Self::Tokens { Algorithm::EdDsa } else { Algorithm::Es256 };
        let issuers = issuers_of(issuers, keys, algorithm, rng)?;
        let entries = issuers.iter().enumerate();
        let entries: Vec<Value> =
            entries.map(|(testbed, issuer)| issuer_entry(&format!("issuer-{testbed}"), issuer)).collect();
        let names: Vec<&Value> = entries.iter().map(|entry| &entry["name"]).collect();
        let route = |name: String, path: String| {
            json!({
                "name": name,
                "match": { "path": path, "methods": ["GET"] },
                "require": { "issuers": names, "scopes": [SCOPE] },
            })
        };
        let numbered =
            |number: usize| route(format!("route-{number}"), format!("/r{number:05}/items/{{id}}"));
        let routes: Vec<Value> = match self {
            Self::Routes => (0..size).map(numbered).collect(),
            Self::Requirements => {
                let named = |number: usize| {
                    let mut route = numbered(number);
                    route["require"] = json!(format!("requirement-{}", number % size));
                    route
                };
                (0..size * ROUTES_PER_REQUIREMENT).map(named).collect()
            }
            Self::Wildcards => {
                let hosted = |number: usize| {
                    let mut route = numbered(number);
                    route["match"]["authorities"] = json!([format!("*.h{number:05}.example")]);
                    route
                };
                (0..size).map(hosted).collect()
            }
            Self::Issuers
            | Self::IssuersCold
            | Self::Keys
            | Self::KeysCold
            | Self::Tokens
            | Self::Clients
            | Self::Audit => {
                vec![route("orders".into(), PATH.into())]
            }
        };
        let mut configuration =
            json!({ "inbound": { "issuers": entries, "routes": routes, "default": "deny" } });
        if self == Self::Requirements {
            let requirement = |number: usize| {
                let tree = json!({ "any": [
                    { "clients": [format!("other-{number}")] },
                    { "claims": [{ "claim": "jti", "prefix": format!("other-{number}") }] },
                    { "claims": [{ "claim": "aud", "one_of": [AUDIENCE, format!("other-{number}")] }], "scopes": [SCOPE] },
                ] });
                (format!("requirement-{number}"), tree)
            };
            let requirements: serde_json::Map<String, Value> = (0..size).map(requirement).collect();
            configuration["inbound"]["requirements"] = Value::Object(requirements);
        }
        if self == Self::Tokens {
            // Large enough for all sizes, and the same for each.
            configuration["inbound"]["token_cache"] = json!({ "entries": 1_000_000, "bytes": 134_217_728 });
        }
        if self == Self::Audit && size > 0 {
            let fields = AUDIT_FIELDS.get(..size).unwrap_or(&AUDIT_FIELDS);
            configuration["audit"] = json!({ "fields": fields });
            if fields.contains(&"subject") {
                configuration["audit"]["subject"] = "plain".into();
            }
        }
        let mut scenario = Scenario { size, issuers, configuration, requests: None };
        if !self.is_cold() {
            let requests = match self {
                Self::Routes => scenario.route_requests(size, |_| HOST.into(), rng)?,
                Self::Requirements => {
                    scenario.route_requests(size * ROUTES_PER_REQUIREMENT, |_| HOST.into(), rng)?
                }
                Self::Wildcards => {
                    scenario.route_requests(size, |route| format!("api.h{route:05}.example"), rng)?
                }
                Self::Tokens => scenario.requests(size, rng)?,
                Self::Issuers
                | Self::IssuersCold
                | Self::Keys
                | Self::KeysCold
                | Self::Clients
                | Self::Audit => scenario.requests(HOT_TOKENS, rng)?,
            };
            scenario.requests = Some(requests);
        }
        Ok(scenario)
    }
}

impl Growth {
    /// Measures an axis.
    pub(crate) fn measure(
        axis: Axis,
        effort: &Effort,
        testbed: &Testbed,
        modules: Modules<'_>,
    ) -> Result<Self> {
        let mut rng = Rng::with_seed(effort.seed);
        let progress = Progress::new("growth", effort.runs * effort.rounds);
        let mut scenarios = Vec::new();
        let mut points = Vec::new();
        for size in axis.sizes() {
            progress.note(&format!("{}: making keys and tokens for {size}", axis.title()));
            scenarios.push(axis.scenario(size, &mut rng)?);
            points.push(Point {
                size,
                ours: Vec::new(),
                plain: Vec::new(),
                memory: Vec::new(),
                vm_memory: Vec::new(),
            });
        }
        for run in 1..=effort.runs {
            progress.note(&format!("{}: starting Envoys", axis.title()));
            let topology =
                if axis == Axis::Clients { Topology::outbound(testbed)? } else { Topology::Inbound(testbed) };
            let plain = topology.plain()?;
            let mut envoys = BTreeMap::new();
            for scenario in &scenarios {
                let envoy = topology
                    .start_envoy(&scenario.configuration, modules)
                    .with_context(|| format!("{} {}", scenario.size, axis.title()))?;
                if let Some(requests) = &scenario.requests {
                    // Every token enters the cache, or is obtained.
                    let before = topology.token_requests();
                    envoy.measure(requests, &mut 0, Extent::Count(requests.len()), status)?;
                    topology.check_obtained(scenario.size, before)?;
                }
                envoys.insert(scenario.size, (envoy, 0));
            }
            let obtained = topology.token_requests();
            for point in &mut points {
                point.ours.push(Vec::new());
                point.plain.push(Vec::new());
            }
            for round in 1..=effort.rounds {
                progress.step(&format!(
                    "{}: run {run}/{}, round {round}/{}",
                    axis.title(),
                    effort.runs,
                    effort.rounds
                ));
                let mut order: Vec<(&Scenario, &mut Point)> = scenarios.iter().zip(&mut points).collect();
                rng.shuffle(&mut order);
                for (scenario, point) in order {
                    let (envoy, cursor) =
                        envoys.get_mut(&scenario.size).context("a size that was not started")?;
                    let part = Part::new(scenario, effort);
                    let fresh;
                    let (requests, begin) = match &scenario.requests {
                        Some(requests) => (requests, *cursor),
                        None => {
                            fresh = scenario.requests(part.fresh, &mut rng)?;
                            (&fresh, 0)
                        }
                    };
                    let (ours, end) = part.measure(envoy, requests, begin, status)?;
                    let (plain, _) = part.measure(&plain, requests, begin, |_| &[200])?;
                    *cursor = end;
                    point.ours.last_mut().context("a run without a list")?.push(ours);
                    point.plain.last_mut().context("a run without a list")?.push(plain);
                }
            }
            ensure!(topology.token_requests() == obtained, "tokens were asked for while it counted");
            for (scenario, point) in scenarios.iter().zip(&mut points) {
                let (envoy, _) = envoys.get(&scenario.size).context("a size that was not started")?;
                point.memory.push(envoy.memory()? as f64);
                point.vm_memory.extend(envoy.vm_memory()?.map(|bytes| bytes as f64));
                if let Some(requests) = scenario.requests.as_ref().filter(|_| axis != Axis::Clients) {
                    check_cached(envoy.envoy(), requests.len())?;
                }
            }
        }
        progress.end();
        Ok(Self { axis, points })
    }

    /// A size's cost by that of the smallest.
    pub(crate) fn ratio(&self, point: &Point) -> Option<Estimate> {
        let values = |point: &Point| -> Vec<Vec<f64>> {
            point.ours.iter().map(|rounds| rounds.iter().map(Cost::worker_micros).collect()).collect()
        };
        ratio(&values(point), &values(self.points.first()?))
    }
}

impl Point {
    /// The worker's microseconds for a request.
    pub(crate) fn worker_micros(&self) -> Option<f64> {
        median(self.ours.iter().flatten().map(Cost::worker_micros))
    }

    /// The same without a filter.
    pub(crate) fn plain_micros(&self) -> Option<f64> {
        median(self.plain.iter().flatten().map(Cost::worker_micros))
    }

    /// Which part of the time the worker was on its core.
    pub(crate) fn busy(&self) -> Option<f64> {
        median(self.ours.iter().flatten().map(Cost::busy))
    }

    /// In bytes.
    pub(crate) fn memory(&self) -> Option<f64> {
        median(self.memory.iter().copied())
    }

    /// Of the worker's VM, in bytes, where the kernel tells.
    pub(crate) fn vm_memory(&self) -> Option<f64> {
        median(self.vm_memory.iter().copied())
    }
}

impl Scenario {
    /// Requests to the hosts of so many clients, in random order.
    fn outgoing(size: usize, rng: &mut Rng) -> Self {
        let host = |number: usize| format!("api-{number:05}.example");
        let mut clients: Vec<usize> = (0..ROUTE_REQUESTS).map(|number| number % size).collect();
        rng.shuffle(&mut clients);
        let mut requests = Requests::default();
        clients.into_iter().for_each(|client| requests.add_outgoing(&host(client)));
        let configuration = document(POSITION, (0..size).map(host).collect());
        Self { size, issuers: Vec::new(), configuration, requests: Some(requests) }
    }

    /// Requests with so many tokens, of all keys alike.
    fn requests(&self, count: usize, rng: &mut Rng) -> Result<Requests> {
        let mut requests = Requests::default();
        for token in self.tokens(count, rng)? {
            requests.add(PATH, "", Some(&token), Expectation::Permitted);
        }
        Ok(requests)
    }

    /// Requests to so many routes, in random order, each with some token.
    fn route_requests(
        &self,
        routes: usize,
        host: impl Fn(usize) -> String,
        rng: &mut Rng,
    ) -> Result<Requests> {
        let tokens = self.tokens(ROUTE_TOKENS, rng)?;
        let mut routes: Vec<usize> = (0..ROUTE_REQUESTS).map(|number| number % routes).collect();
        rng.shuffle(&mut routes);
        let mut requests = Requests::default();
        for (route, token) in routes.iter().zip(tokens.iter().cycle()) {
            let path = format!("/r{route:05}/items/{}", rng.u32(10_000..100_000));
            requests.add_to(&host(*route), &path, token);
        }
        Ok(requests)
    }

    fn tokens(&self, count: usize, rng: &mut Rng) -> Result<Vec<String>> {
        let all: Vec<(&Issuer, &Key)> =
            self.issuers.iter().flat_map(|issuer| issuer.keys.iter().map(move |key| (issuer, key))).collect();
        let mut orders: Vec<Order<'_>> = all
            .iter()
            .cycle()
            .take(count)
            .map(|(issuer, key)| Order { issuer: &issuer.identifier, key, flaw: Flaw::Nothing })
            .collect();
        rng.shuffle(&mut orders);
        mint(&orders, rng.u64(..))
    }
}

/// A part of a round: one size.
struct Part {
    /// How many requests have to be made, where every token is new.
    fresh: usize,
    warm_up: usize,
    extent: Extent,
}

impl Part {
    fn new(scenario: &Scenario, effort: &Effort) -> Self {
        if scenario.requests.is_some() {
            return Self { fresh: 0, warm_up: WARM_UP, extent: Extent::Time(effort.part) };
        }
        let count = ((COLD_RATE * effort.part.as_secs_f64()) as usize).max(WARM_UP);
        Self { fresh: count + count / 10, warm_up: count / 10, extent: Extent::Count(count) }
    }

    /// Measures from a request on; returns the next one too.
    fn measure(
        &self,
        envoy: &EnvoyUnderTest,
        requests: &Requests,
        mut cursor: usize,
        status: fn(Expectation) -> &'static [u16],
    ) -> Result<(Cost, usize)> {
        envoy.measure(requests, &mut cursor, Extent::Count(self.warm_up), status)?;
        let cost = envoy.measure(requests, &mut cursor, self.extent, status)?;
        Ok((cost, cursor))
    }
}

fn status(expectation: Expectation) -> &'static [u16] {
    Contender::Attache.status(expectation)
}

fn issuers_of(issuers: usize, keys: usize, algorithm: Algorithm, rng: &mut Rng) -> Result<Vec<Issuer>> {
    let issuer = |number: usize| -> Result<Issuer> {
        let keys = (0..keys).map(|key| Key::generate(format!("key-{number}-{key}"), algorithm, rng));
        let keys = keys.collect::<Result<_>>()?;
        Ok(Issuer { identifier: format!("https://issuer-{number:04}.example"), keys })
    };
    (0..issuers).map(issuer).collect()
}

/// A cache that is too small would make a different measurement of this one. Beyond the first look-up of each token, a
/// few misses are those of a bucket that happens to be full.
fn check_cached(envoy: &Envoy, tokens: usize) -> Result<()> {
    let stats = envoy.stats()?;
    let sum = |result: &str| {
        let named = stats.iter().filter(|(name, _)| {
            name.contains("attache_token_cache_total") && name.contains(&format!("result=.={result};"))
        });
        named.fold(0, |sum: u64, (_, value)| sum + value)
    };
    let (hits, misses) = (sum("hit"), sum("miss"));
    ensure!(
        hits + misses > 0 && misses <= tokens as u64 + hits / 50,
        "{misses} misses and {hits} hits of the token cache with {tokens} tokens: it does not hold them, so give it more room"
    );
    Ok(())
}

/// The fields that the inbound half fills in, those first that most will want.
const AUDIT_FIELDS: [&str; 17] = [
    "client",
    "route",
    "outcome",
    "reason",
    "api",
    "requirement",
    "issuer",
    "subject",
    "token_id",
    "scopes_needed",
    "scopes_missing",
    "path_template",
    "key_id",
    "engine",
    "work",
    "duration_us",
    "request_id",
];
/// A set has 128 keys at most.
const KEYS_PER_ISSUER: usize = 125;
const HOT_TOKENS: usize = 2_000;
const ROUTE_TOKENS: usize = 200;
const ROUTES_PER_REQUIREMENT: usize = 10;
/// So that each of the most routes, or clients, is asked for.
const ROUTE_REQUESTS: usize = 10_000;
const WARM_UP: usize = 500;
/// New tokens in a second, about.
const COLD_RATE: f64 = 6_000.0;
