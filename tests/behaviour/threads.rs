//! Several filters in one process, in lockstep: what one of them publishes wakes the others before any time passes, as in Envoy.
//!
//! Also what another module of the same `vm_id` may plant: leases and documents in the encodings of `sharing`.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::rc::Rc;
use std::time::Duration;

use attache::base::{HttpCall, HttpReply, Level, Timestamp};
use prost::Message;
use serde_json::{Value, json};

use crate::process::Memory;
use crate::proxy::{Proxy, START, Service, Signer, TICK, Time as _, Token, good, jwks};

pub struct Threads {
    pub memory: Rc<Memory>,
    config: Value,
    proxies: Vec<Proxy>,
    dead: Vec<bool>,
    services: BTreeMap<String, Service>,
    now: Timestamp,
}

impl Threads {
    /// So many threads of a new process, in which nothing has ticked and no issuer answers.
    #[track_caller]
    pub fn new(config: &Value, count: usize) -> Self {
        Self::within(&Rc::default(), config, count)
    }

    /// So many threads of a process.
    #[track_caller]
    pub fn within(memory: &Rc<Memory>, config: &Value, count: usize) -> Self {
        let mut threads = Self {
            memory: Rc::clone(memory),
            config: config.clone(),
            proxies: Vec::new(),
            dead: Vec::new(),
            services: BTreeMap::new(),
            now: Timestamp::from_secs(START),
        };
        for _ in 0..count {
            threads.join();
        }
        threads
    }

    /// As [`Threads::new`], with these keys served by the cluster `idp` and fetched a moment ago.
    #[track_caller]
    pub fn ready(config: &Value, count: usize, keys: &[&Signer]) -> Self {
        let mut threads = Self::new(config, count);
        threads.serve("idp", good(&jwks(keys)));
        threads.tick();
        threads.pass(1.ms());
        threads
    }

    /// A thread more; returns its number.
    #[track_caller]
    pub fn join(&mut self) -> usize {
        let config = self.config.clone();
        self.join_with(&config)
    }

    /// A thread more with another configuration; returns its number.
    #[track_caller]
    pub fn join_with(&mut self, config: &Value) -> usize {
        let seed = u16::try_from(self.proxies.len() + 1).unwrap();
        let mut proxy = Proxy::within(&self.memory, config, seed, self.now);
        for (cluster, service) in &self.services {
            proxy.attach(cluster, service.clone());
        }
        self.proxies.push(proxy);
        self.dead.push(false);
        self.proxies.len() - 1
    }

    /// The thread never ticks again, takes no message and no reply.
    pub fn kill(&mut self, number: usize) {
        self.dead[number] = true;
    }

    /// The thread's filter ends, and one with this configuration begins; returns its number.
    #[track_caller]
    pub fn reload(&mut self, number: usize, config: &Value) -> usize {
        self.proxies[number].shut_down();
        self.kill(number);
        self.join_with(config)
    }

    /// The numbers of those that live.
    pub fn alive(&self) -> Vec<usize> {
        (0..self.proxies.len()).filter(|number| !self.dead[*number]).collect()
    }

    /// From now on the cluster answers so.
    pub fn serve(&mut self, cluster: &str, reply: HttpReply) {
        self.attach(cluster, Service::Answers(reply));
    }

    /// From now on the cluster answers as this says.
    pub fn script(&mut self, cluster: &str, script: impl Fn(&HttpCall) -> Option<HttpReply> + 'static) {
        self.attach(cluster, Service::Scripted(Rc::new(script)));
    }

    /// From now on nothing comes back from the cluster until [`Threads::reply`].
    pub fn silence(&mut self, cluster: &str) {
        self.attach(cluster, Service::Silent);
    }

    fn attach(&mut self, cluster: &str, service: Service) {
        self.proxies.iter_mut().for_each(|proxy| proxy.attach(cluster, service.clone()));
        self.services.insert(cluster.to_owned(), service);
    }

    /// One thread ticks, and the messages that this sends are taken.
    pub fn tick_one(&mut self, number: usize) {
        self.proxies[number].tick();
        self.deliver();
    }

    /// All threads tick, one after the other.
    pub fn tick(&mut self) {
        for number in self.alive() {
            self.tick_one(number);
        }
    }

    /// Time passes and nothing ticks.
    pub fn pass(&mut self, by: Duration) {
        self.now = self.now.after(by);
        self.proxies.iter_mut().for_each(|proxy| proxy.sleep(by));
    }

    /// Time passes, with a tick of all as often as the host has one; over long times fewer.
    pub fn advance(&mut self, by: Duration) {
        self.advance_with(by, |_| {});
    }

    /// As [`Threads::advance`]; between two ticks another module changes the memory.
    pub fn advance_with(&mut self, by: Duration, mut meddle: impl FnMut(&mut Self)) {
        let step = if by > 120.secs() { 1.secs() } else { TICK };
        let end = self.now.after(by);
        while self.now < end {
            self.pass(step.min(end.since(self.now)));
            meddle(self);
            self.tick();
        }
    }

    /// Time passes until the cluster has been called so often.
    #[track_caller]
    pub fn advance_to_call(&mut self, cluster: &str, calls: usize) {
        for _ in 0..100_000 {
            if self.calls(cluster) >= calls {
                return;
            }
            self.advance(TICK);
        }
        panic!("{cluster} was called {} times only", self.calls(cluster));
    }

    /// The clock is set back, and nothing ticks.
    pub fn set_back(&mut self, by: Duration) {
        self.now = self.now.before(by);
        self.proxies.iter_mut().for_each(|proxy| proxy.set_back(by));
    }

    /// Answers the oldest call of the first living thread that waits for an answer.
    #[track_caller]
    pub fn reply(&mut self, reply: HttpReply) {
        let asking = self.alive().into_iter().find(|number| self.proxies[*number].is_asking());
        self.proxies[asking.expect("no call is under way")].reply(reply);
        self.deliver();
    }

    /// Hands over all messages.
    pub fn deliver(&mut self) {
        let alive = self.alive();
        while alive.iter().any(|number| self.proxies[*number].take_message()) {}
    }

    /// How many calls there have been to this cluster, by all threads that there have been.
    pub fn calls(&self, cluster: &str) -> usize {
        self.proxies.iter().map(|proxy| proxy.calls(cluster)).sum()
    }

    /// All calls in order.
    pub fn sent(&self) -> Vec<(Timestamp, HttpCall)> {
        let mut sent: Vec<_> = self.proxies.iter().flat_map(|proxy| proxy.sent().to_vec()).collect();
        sent.sort_by_key(|(at, _)| *at);
        sent
    }

    /// The paths that were called, in order.
    pub fn paths(&self) -> Vec<String> {
        self.sent().iter().map(|(_, call)| path_of(call).to_owned()).collect()
    }

    /// When calls were made, in milliseconds since the start.
    pub fn call_times(&self) -> Vec<u64> {
        let start = Timestamp::from_secs(START);
        self.sent().iter().map(|(at, _)| u64::try_from(at.since(start).as_millis()).unwrap()).collect()
    }

    /// The times between calls, in milliseconds.
    pub fn pauses(&self) -> Vec<u64> {
        self.call_times().windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// A GET with this token on each living thread, and what came of it.
    #[track_caller]
    pub fn get(&mut self, path: &str, token: &str) -> Vec<String> {
        self.alive().into_iter().map(|number| self.proxies[number].get(path, token)).collect()
    }

    /// Every living thread answers the same.
    #[track_caller]
    pub fn all_tell(&mut self, token: &str, tells: &str) {
        let told = self.get("/orders", token);
        assert!(told.iter().all(|told| told == tells), "expected {tells}: {told:?}");
    }

    /// A counter over all threads.
    pub fn counter(&self, name: &str) -> u64 {
        self.proxies.iter().map(|proxy| proxy.counter(name)).sum()
    }

    /// Log lines of all threads of at least this level.
    pub fn logs(&self, least: Level) -> Vec<&str> {
        self.proxies.iter().flat_map(|proxy| proxy.logs(least)).collect()
    }

    /// The same lines without their ends.
    pub fn events(&self, least: Level) -> Vec<&str> {
        self.proxies.iter().flat_map(|proxy| proxy.events(least)).collect()
    }

    /// The one value whose name ends so.
    #[track_caller]
    pub fn name(&self, end: &str) -> String {
        let mut names = self.memory.names().into_iter().filter(|name| name.ends_with(end));
        let name = names.next().unwrap_or_else(|| panic!("nothing ends with {end}"));
        assert_eq!(names.next(), None, "more than one value ends with {end}");
        name
    }

    /// The time, in nanoseconds, less so much.
    pub fn ago(&self, by: Duration) -> u64 {
        self.now.before(by).nanos()
    }

    /// The time, in nanoseconds, plus so much.
    pub fn ahead(&self, by: Duration) -> u64 {
        self.now.after(by).nanos()
    }

    /// The lease of the one document.
    #[track_caller]
    pub fn lease(&self) -> Lease {
        Lease::decode(&*self.memory.value(&self.name("/lease")).unwrap()).unwrap()
    }

    /// Another module writes the lease.
    #[track_caller]
    pub fn forge_lease(&self, lease: &Lease) {
        self.memory.plant(&self.name("/lease"), &lease.encode_to_vec());
        self.call_news();
    }

    /// Another module says that there is news: all look at their next tick.
    pub fn call_news(&self) {
        let journal = self.memory.value("attache/1/news").unwrap_or_default();
        let journal = Journal::decode(&*journal).unwrap_or_default();
        // More than it tells one by one: perhaps of any document.
        let journal = Journal { last: journal.last.wrapping_add(1_000), recent: Vec::new() };
        self.memory.plant("attache/1/news", &journal.encode_to_vec());
    }
}

impl Index<usize> for Threads {
    type Output = Proxy;

    fn index(&self, number: usize) -> &Proxy {
        &self.proxies[number]
    }
}

impl IndexMut<usize> for Threads {
    fn index_mut(&mut self, number: usize) -> &mut Proxy {
        &mut self.proxies[number]
    }
}

/// A lease, as `sharing` encodes it.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Lease {
    #[prost(fixed64, tag = "1")]
    pub holder: u64,
    #[prost(fixed64, tag = "2")]
    pub until: u64,
    #[prost(fixed64, tag = "3")]
    pub sent: u64,
    #[prost(uint32, tag = "4")]
    pub failures: u32,
    #[prost(fixed64, tag = "5")]
    pub not_before: u64,
    #[prost(fixed64, tag = "6")]
    pub published: u64,
}

/// The last news, as `sharing` encodes them.
#[derive(Clone, PartialEq, Eq, Message)]
struct Journal {
    #[prost(fixed64, tag = "1")]
    last: u64,
    #[prost(fixed64, repeated, tag = "2")]
    recent: Vec<u64>,
}

/// A publication without a seal, as `sharing` encodes it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Published {
    #[prost(fixed64, tag = "1")]
    pub sent: u64,
    #[prost(fixed64, tag = "2")]
    pub received: u64,
    #[prost(fixed64, optional, tag = "3")]
    pub freshness: Option<u64>,
    #[prost(string, optional, tag = "4")]
    pub entity_tag: Option<String>,
    #[prost(string, tag = "5")]
    pub origin: String,
    #[prost(bytes = "vec", tag = "6")]
    pub body: Vec<u8>,
    #[prost(uint32, tag = "7")]
    pub unchanged: u32,
}

pub fn path_of(call: &HttpCall) -> &str {
    header_of(call, ":path").unwrap_or_default()
}

pub fn header_of<'a>(call: &'a HttpCall, name: &str) -> Option<&'a str> {
    call.headers
        .iter()
        .find(|(field, _)| **field == *name)
        .map(|(_, value)| str::from_utf8(value.expose()).unwrap())
}

/// A good token for a month.
pub fn long(key: &Signer) -> Token {
    key.token().claim("exp", START + 30 * 24 * 3600)
}

/// A token like no other, signed with the key.
pub fn fresh(key: &Signer, number: usize) -> String {
    long(key).claim("jti", number).sign()
}

/// A counter of the issuer `corp`.
pub fn counted(metric: &str, result: &str) -> String {
    format!("issuer=.=corp;.;result=.={result};.;{metric}")
}

/// A gauge of the issuer `corp`.
pub fn gauge(metric: &str) -> String {
    format!("issuer=.=corp;.;{metric}")
}

/// The configuration with its publications sealed by the secret in this variable.
pub fn sealed(mut config: Value, variable: &str) -> Value {
    config["sharing"] = json!({ "process": { "sealing_secret": { "env": variable } } });
    config
}

/// The issuer's keys, fetched on this schedule.
pub fn scheduled(schedule: Value) -> Value {
    crate::proxy::config(
        json!({ "issuers": [crate::proxy::issuer(json!({ "keys": { "jwks": schedule } }))] }),
    )
}
