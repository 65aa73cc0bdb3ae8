//! What is sent: each workload is a way to make requests, and a list of contenders that it is fair to.

use anyhow::Result;
use fastrand::Rng;

use crate::contender::Contender;
use crate::key::{Algorithm, Key};
use crate::outbound::Position;
use crate::requests::{Expectation, HOST, PATH, PUBLIC_PATH, Requests};
use crate::token::{Flaw, Issuer, Order, mint};

/// A kind of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Workload {
    /// One token.
    HotOne(Algorithm),
    /// 2,000 tokens in turn.
    HotPool,
    /// Every token for the first time.
    Cold(Algorithm),
    /// 2,000 tokens in turn, one of twenty refused.
    Mixed,
    /// 2,000 tokens in turn, and 30 headers.
    Headers,
    /// 2,000 tokens in turn; claims go into headers.
    Claims,
    /// Signatures of random bytes, none twice.
    Forged(Algorithm),
    /// Signed as it should be, an hour too old, every token for the first time.
    Expired,
    /// A route that needs no token.
    Public,
    /// A request that goes out, and gets a token on its way.
    Outbound(Position),
}

impl Workload {
    /// What `make bench` sends.
    pub(crate) const ALL: [Self; 18] = [
        Self::HotOne(Algorithm::Rs256),
        Self::HotOne(Algorithm::Es256),
        Self::HotOne(Algorithm::EdDsa),
        Self::HotOne(Algorithm::Ps256),
        Self::HotPool,
        Self::Cold(Algorithm::Rs256),
        Self::Cold(Algorithm::Es256),
        Self::Cold(Algorithm::EdDsa),
        Self::Cold(Algorithm::Ps256),
        Self::Mixed,
        Self::Headers,
        Self::Claims,
        Self::Forged(Algorithm::Rs256),
        Self::Forged(Algorithm::Es256),
        Self::Expired,
        Self::Public,
        Self::Outbound(Position::Downstream),
        Self::Outbound(Position::Upstream),
    ];

    /// What `make bench-quick` sends.
    pub(crate) const QUICK: [Self; 5] = [
        Self::HotOne(Algorithm::Rs256),
        Self::HotPool,
        Self::Cold(Algorithm::Rs256),
        Self::Cold(Algorithm::Es256),
        Self::Outbound(Position::Downstream),
    ];

    /// Its name in `summary.json`.
    pub(crate) fn key(self) -> String {
        let of = |name: &str, algorithm: Algorithm| format!("{name}_{}", algorithm.name().to_lowercase());
        match self {
            Self::HotOne(Algorithm::Rs256) => "hot_one".into(),
            Self::HotOne(algorithm) => of("hot_one", algorithm),
            Self::HotPool => "hot_pool".into(),
            Self::Cold(algorithm) => of("cold", algorithm),
            Self::Mixed => "mixed".into(),
            Self::Headers => "headers".into(),
            Self::Claims => "claims".into(),
            Self::Forged(algorithm) => of("forged", algorithm),
            Self::Expired => "expired".into(),
            Self::Public => "public".into(),
            Self::Outbound(Position::Downstream) => "outbound".into(),
            Self::Outbound(Position::Upstream) => "outbound_upstream".into(),
        }
    }

    /// What it is, for a table.
    pub(crate) fn title(self) -> String {
        match self {
            Self::HotOne(algorithm) => format!("one token, {}", algorithm.name()),
            Self::HotPool => format!("{POOL} tokens in turn, RS256"),
            Self::Cold(algorithm) => format!("every token new, {}", algorithm.name()),
            Self::Mixed => format!("{POOL} tokens in turn, 5 % refused"),
            Self::Headers => format!("{POOL} tokens in turn, 30 headers"),
            Self::Claims => format!("{POOL} tokens in turn, claims forwarded"),
            Self::Forged(algorithm) => format!("forged signatures, {}", algorithm.name()),
            Self::Expired => "expired tokens, all new, RS256".into(),
            Self::Public => "public route, no token".into(),
            Self::Outbound(Position::Downstream) => "a token put on it, in the listener".into(),
            Self::Outbound(Position::Upstream) => "a token put on it, in the cluster".into(),
        }
    }

    /// Who is measured with it.
    pub(crate) fn contenders(self) -> &'static [Contender] {
        use Contender::{
            Attache, AttacheClaims, AttacheDefaults, CredentialInjector, Jwt, JwtCache, JwtCacheRbac,
            JwtCacheRbacClaims, JwtCacheRbacText, JwtRbac, None, Noop, VerifyOnly,
        };
        match self {
            Self::HotOne(Algorithm::Rs256) | Self::HotPool => &[
                None,
                Noop,
                Jwt,
                JwtCache,
                JwtRbac,
                JwtCacheRbac,
                JwtCacheRbacText,
                Attache,
                AttacheDefaults,
            ],
            Self::Cold(Algorithm::Rs256 | Algorithm::Es256) => {
                &[None, Noop, VerifyOnly, Jwt, JwtCache, JwtRbac, JwtCacheRbac, Attache, AttacheDefaults]
            }
            Self::HotOne(_) | Self::Cold(_) | Self::Mixed => &[None, JwtRbac, JwtCacheRbac, Attache],
            Self::Headers => &[None, Noop, JwtRbac, JwtCacheRbac, Attache],
            Self::Claims => &[None, JwtCacheRbacClaims, AttacheClaims],
            Self::Forged(_) | Self::Expired => &[None, Jwt, JwtRbac, JwtCacheRbac, Attache, AttacheDefaults],
            Self::Public => &[None, Noop, JwtCacheRbac, Attache, AttacheDefaults],
            Self::Outbound(_) => &[None, Noop, CredentialInjector, Attache],
        }
    }

    /// Which of its contenders is ours.
    pub(crate) fn ours(self) -> Contender {
        if self == Self::Claims { Contender::AttacheClaims } else { Contender::Attache }
    }

    /// Where the filters stand, if the requests go out.
    pub(crate) fn position(self) -> Option<Position> {
        match self {
            Self::Outbound(position) => Some(position),
            Self::HotOne(_)
            | Self::HotPool
            | Self::Cold(_)
            | Self::Mixed
            | Self::Headers
            | Self::Claims
            | Self::Forged(_)
            | Self::Expired
            | Self::Public => None,
        }
    }

    /// How many requests a part that lasts a second has, if each request has to be another one.
    pub(crate) fn fresh(self) -> Option<usize> {
        match self {
            Self::Cold(Algorithm::Rs256) | Self::Expired => Some(16_000),
            Self::Cold(Algorithm::Es256) => Some(8_000),
            // What Envoy's own engine does not offer to wasm takes longer there.
            Self::Cold(Algorithm::EdDsa | Algorithm::Ps256) => Some(4_000),
            Self::Forged(_) => Some(12_000),
            Self::HotOne(_)
            | Self::HotPool
            | Self::Mixed
            | Self::Headers
            | Self::Claims
            | Self::Public
            | Self::Outbound(_) => None,
        }
    }

    /// Makes so many requests, or as many as a workload repeats.
    pub(crate) fn requests(self, issuer: &Issuer, count: usize, seed: u64) -> Result<Requests> {
        let key = |algorithm| issuer.key(algorithm);
        let (key, count) = match self {
            Self::HotOne(algorithm) => (key(algorithm)?, 1),
            Self::Cold(algorithm) | Self::Forged(algorithm) => (key(algorithm)?, count),
            Self::HotPool | Self::Mixed | Self::Headers | Self::Claims => (key(Algorithm::Rs256)?, POOL),
            Self::Expired => (key(Algorithm::Rs256)?, count),
            Self::Public => {
                let mut requests = Requests::default();
                requests.add(PUBLIC_PATH, "", None, Expectation::Permitted);
                return Ok(requests);
            }
            Self::Outbound(_) => {
                let mut requests = Requests::default();
                requests.add_outgoing(HOST);
                return Ok(requests);
            }
        };
        let flaws: Vec<Flaw> = (0..count).map(|place| self.flaw(place)).collect();
        let headers = if self == Self::Headers { realistic_headers(seed) } else { String::new() };
        make(issuer, key, &flaws, &headers, seed)
    }

    fn flaw(self, place: usize) -> Flaw {
        match (self, place % 60) {
            (Self::Mixed, 19) => Flaw::Scope,
            (Self::Mixed, 39) => Flaw::Expired,
            (Self::Mixed, 59) => Flaw::Forged,
            (Self::Forged(_), _) => Flaw::Flood { names_key: true },
            (Self::Expired, _) => Flaw::Expired,
            _ => Flaw::Nothing,
        }
    }
}

/// One request for each of all that a contender may be asked, twice, so that caches are asked too.
pub(crate) fn probes(contender: Contender, issuer: &Issuer, seed: u64) -> Result<Requests> {
    let mut orders = Vec::new();
    let looks_at_claims = contender != Contender::VerifyOnly;
    let flaws: &[Flaw] = if looks_at_claims {
        &[Flaw::Nothing, Flaw::Scope, Flaw::Expired, Flaw::Forged]
    } else {
        &[Flaw::Nothing, Flaw::Forged]
    };
    let is_asked =
        |key: &&Key| looks_at_claims || [Algorithm::Rs256, Algorithm::Es256].contains(&key.algorithm);
    for key in issuer.keys.iter().filter(is_asked) {
        for flaw in flaws.iter().copied() {
            orders.push(Order { issuer: &issuer.identifier, key, flaw });
        }
    }
    let tokens = mint(&orders, seed)?;
    let mut requests = Requests::default();
    for _ in 0..2 {
        for (order, token) in orders.iter().zip(&tokens) {
            requests.add(PATH, "", Some(token), expectation(order.flaw));
        }
        requests.add(PATH, "", None, Expectation::Unauthorized);
        if looks_at_claims {
            requests.add(PUBLIC_PATH, "", None, Expectation::Permitted);
        }
    }
    Ok(requests)
}

/// Requests with forged tokens of an algorithm, none twice, that name their key or none.
pub(crate) fn forgeries(
    issuer: &Issuer,
    (algorithm, names_key): (Algorithm, bool),
    count: usize,
    seed: u64,
) -> Result<Requests> {
    make(issuer, issuer.key(algorithm)?, &vec![Flaw::Flood { names_key }; count], "", seed)
}

fn make(issuer: &Issuer, key: &Key, flaws: &[Flaw], headers: &str, seed: u64) -> Result<Requests> {
    let orders: Vec<_> =
        flaws.iter().map(|flaw| Order { issuer: &issuer.identifier, key, flaw: *flaw }).collect();
    let mut requests = Requests::default();
    for (token, flaw) in mint(&orders, seed)?.iter().zip(flaws) {
        requests.add(PATH, headers, Some(token), expectation(*flaw));
    }
    Ok(requests)
}

fn expectation(flaw: Flaw) -> Expectation {
    match flaw {
        Flaw::Nothing => Expectation::Permitted,
        Flaw::Scope => Expectation::Forbidden,
        Flaw::Expired | Flaw::Forged => Expectation::Unauthorized,
        Flaw::Flood { .. } => Expectation::Flood,
    }
}

/// What a browser, a load balancer and a tracer add: 30 headers, about 1,800 bytes.
fn realistic_headers(seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut hex = |digits: usize| (0..digits).map(|_| rng.digit(16)).collect::<String>();
    let mut text = String::new();
    for (name, value) in HEADERS {
        text.push_str(&format!("{name}: {}\r\n", value.replace("{32}", &hex(32)).replace("{16}", &hex(16))));
    }
    text
}

/// How many tokens a pool has: callers of a busy service, well within both caches.
const POOL: usize = 2_000;

const HEADERS: [(&str, &str); 30] = [
    (
        "user-agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    ),
    ("accept", "application/json, text/plain;q=0.9, */*;q=0.8"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "de-CH,de;q=0.9,en-GB;q=0.8,en;q=0.7"),
    ("cache-control", "no-cache"),
    ("pragma", "no-cache"),
    ("content-type", "application/json; charset=utf-8"),
    ("cookie", "session={32}; theme=dark; consent=analytics%3Dfalse%26marketing%3Dfalse; _ga=GA1.1.{16}"),
    ("origin", "https://shop.example"),
    ("referer", "https://shop.example/account/orders?page=2&sort=date"),
    ("dnt", "1"),
    ("priority", "u=1, i"),
    ("sec-ch-ua", "\"Chromium\";v=\"142\", \"Not=A?Brand\";v=\"24\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-site", "same-site"),
    ("x-requested-with", "XMLHttpRequest"),
    ("x-forwarded-for", "203.0.113.17, 198.51.100.4"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "orders.example"),
    ("x-real-ip", "203.0.113.17"),
    ("via", "2 edge-7.example (balancer)"),
    ("forwarded", "for=203.0.113.17;proto=https;host=orders.example"),
    ("traceparent", "00-{32}-{16}-01"),
    ("tracestate", "vendor={16}"),
    ("x-b3-traceid", "{32}"),
    ("x-correlation-id", "{32}"),
    ("x-client-version", "shop-web/2026.11.3+{16}"),
];
