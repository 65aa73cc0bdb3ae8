//! A rotation of Keycloak's keys under load, by the page's commands. Each answer is judged by the moment in which the
//! request was sent.

use std::cell::Cell;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::wait::wait_for;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use super::proxy::{Proxy, plain_cluster};
use super::{INBOUND, PATIENCE, Setting};
use crate::judge::{Kind, Record, Tally};
use crate::load::{Load, Shot};
use crate::report::Report;

pub(super) fn rows(setting: &Setting, report: &mut Report) -> Result<()> {
    let mut document = setting.guide.yaml("Inbound requests")?.remove(0);
    // A short life, so that the tests need not wait for the end of ten minutes.
    document["inbound"]["issuers"][0]["keys"]["discovery"]["refresh"] =
        json!(format!("{}s", LIFETIME.as_secs()));
    document["inbound"]["issuers"][0]["keys"]["discovery"]["min_refresh"] = json!("1s");
    // A busy machine's Keycloak may be slow.
    document["inbound"]["waiting"] = json!({ "deadline": "60s" });
    let service = plain_cluster("service", setting.service.addr());
    let proxy = Proxy::new(setting.world).listener("orders", &document, "service");
    let envoy = proxy.cluster(setting.cluster.clone()).cluster(service).start(&[])?;

    let old = tokens(setting)?;
    let nobody = vec![Shot::new(Kind::Nobody, "/orders/1", None), forged(&old)];
    let load =
        Load::start(envoy.listener("orders")?, vec![(4, shots(&old, 0)), (4, Vec::new()), (2, nobody)]);
    [OLD, NEW, OTHERS].into_iter().for_each(|lane| load.pace(lane, 150));
    load.every_last(OLD, "the first answers", |record| record.answer.is_some());
    let [add, disable] = setting.guide.commands("Rotate keys")?[..] else { anyhow::bail!("two steps") };
    setting.guide.shell(add)?;
    let new = wait_for("tokens of the new key", PATIENCE, || {
        let new = tokens(setting)?;
        Ok((key_id(&new.good)? != key_id(&old.good)?).then_some(new))
    })?;
    load.aim(NEW, shots(&new, 1));
    load.settle(NEW);
    // Both keys' tokens pass for longer than a set of keys lives.
    load.until(load.now() + LIFETIME * 2);
    let disabled = load.now();
    setting.guide.shell(disable)?;
    // Each worker drops the key by itself, and the last one may be late on a busy machine.
    let passed = Cell::new(load.now());
    load.every_last(OLD, "the old key's tokens to be refused for some seconds", |record| {
        if record.status() != 401 {
            passed.set(record.received.max(passed.get()));
        }
        record.sent > passed.get() + QUIET
    });
    let refused = load.now();
    load.until(refused + LIFETIME * 2);
    let records = load.finish();

    let tally = Tally::of(&records, |record| expected(record, disabled, refused));
    let passed = |kind| records.iter().any(|record: &Record| record.kind == kind && record.status() == 200);
    let got = if !tally.wrong.is_empty() {
        format!("{:?}", tally.wrong)
    } else if passed(Kind::Good(0)) && passed(Kind::Good(1)) {
        ROTATED.to_owned()
    } else {
        "no token of one of the keys passed".to_owned()
    };
    let last = records.iter().rfind(|record| record.kind == Kind::Good(0) && record.status() == 200);
    let last = last.map_or(Duration::ZERO, |record| record.received.saturating_sub(disabled));
    println!("mesh: the last token of the disabled key passed {last:?} after the command began");
    let requests = records.len();
    report.row(INBOUND, "keys rotated by Keycloak's administrator, under load", requests, ROTATED, Ok(got));
    Ok(())
}

struct Tokens {
    good: String,
    narrow: String,
}

fn tokens(setting: &Setting) -> Result<Tokens> {
    Ok(Tokens { good: setting.token("orders:read")?, narrow: setting.token("profile")? })
}

fn shots(tokens: &Tokens, number: usize) -> Vec<Shot> {
    let shot = |kind, token: &str| Shot::new(kind, "/orders/1", Some(token));
    vec![shot(Kind::Good(number), &tokens.good), shot(Kind::Narrow(number), &tokens.narrow)]
}

/// A token with the signature of another one of the same key.
fn forged(tokens: &Tokens) -> Shot {
    let (content, _) = tokens.good.rsplit_once('.').unwrap_or_default();
    let (_, signature) = tokens.narrow.rsplit_once('.').unwrap_or_default();
    Shot::new(Kind::Forged(0), "/orders/1", Some(&format!("{content}.{signature}")))
}

/// The statuses that are right for a request, by when it was on its way.
fn expected(record: &Record, disabled: Duration, refused: Duration) -> &'static [u16] {
    if ![Kind::Good(0), Kind::Narrow(0)].contains(&record.kind) || record.received <= disabled {
        return record.kind.usual();
    }
    // A request that was on its way when the key went may have met it.
    match (record.sent > refused, record.kind == Kind::Good(0)) {
        (true, _) => &[401],
        (false, true) => &[200, 401],
        (false, false) => &[403, 401],
    }
}

fn key_id(token: &str) -> Result<Value> {
    let header = token.split('.').next().context("a token's header")?;
    let header: Value = serde_json::from_slice(&Base64UrlUnpadded::decode_vec(header).unwrap_or_default())?;
    Ok(header["kid"].clone())
}

const OLD: usize = 0;
const NEW: usize = 1;
const OTHERS: usize = 2;
/// Of a set of keys.
const LIFETIME: Duration = Duration::from_secs(2);
/// So long without a permitted token of the disabled key: each worker's keys have been renewed twice.
const QUIET: Duration = Duration::from_secs(5);
const ROTATED: &str = "no failed request; the disabled key's tokens refused";
