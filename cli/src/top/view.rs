//! Tables of one reading, with rates since the one before.

use core::time::Duration;
use std::collections::BTreeSet;

use super::stats::{Labels, Stats};
use super::table::{Table, plain};

/// What is shown.
#[derive(Clone, Debug)]
pub struct View {
    /// What holds for the whole process.
    head: Vec<(String, Style)>,
    /// Decisions, keys, tokens, clients.
    tables: [Table; 4],
}

/// How a line is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// The names of columns.
    Heading,
    /// An operator should look at it.
    Bad,
}

/// Two readings.
struct Readings<'a> {
    now: &'a Stats,
    before: Option<(&'a Stats, Duration)>,
}

impl View {
    /// Of a reading at this Unix time, and of the one before.
    pub fn of(now: &Stats, before: Option<(&Stats, Duration)>, unix_time: u64) -> Self {
        let readings = Readings { now, before };
        Self {
            head: readings.head(),
            tables: [readings.decisions(), readings.keys(unix_time), readings.tokens(), readings.clients()],
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (line, _) in &self.head {
            text += &format!("{line}\n");
        }
        for table in self.tables.iter().filter(|table| !table.is_empty()) {
            text.push('\n');
            for (line, _) in table.lines(usize::MAX) {
                text += &format!("{line}\n");
            }
        }
        text
    }

    /// As much of it as fits: `height` lines, none longer than `width`.
    pub fn lines(&self, width: usize, height: usize) -> Vec<(String, Style)> {
        let mut lines = self.head.clone();
        let tables: Vec<&Table> = self.tables.iter().filter(|table| !table.is_empty()).collect();
        // Each has a line of space before it.
        let mut room = height.saturating_sub(lines.len()).saturating_sub(tables.len());
        for (place, table) in tables.iter().enumerate() {
            let others = tables.iter().skip(place.saturating_add(1));
            let kept: usize = others.map(|table| table.height().min(MIN_ROWS)).sum();
            let most = table.height().min(room.saturating_sub(kept).max(room.min(MIN_ROWS)));
            let shown = table.lines(most);
            room = room.saturating_sub(shown.len());
            lines.push((String::new(), Style::Plain));
            for (place, (line, is_bad)) in shown.into_iter().enumerate() {
                let style = match (place, is_bad) {
                    (0, _) => Style::Heading,
                    (_, true) => Style::Bad,
                    (_, false) => Style::Plain,
                };
                lines.push((line, style));
            }
        }
        lines.truncate(height);
        // All of it is ASCII.
        lines.iter_mut().for_each(|(line, _)| line.truncate(width));
        lines
    }
}

impl Readings<'_> {
    /// How much a counter has grown, in a second; a counter that has become less has begun anew.
    fn rate(&self, metric: &str, labels: &Labels, value: u64) -> Option<f64> {
        let (before, elapsed) = self.before?;
        let earlier = before.value(metric, labels).unwrap_or_default();
        Some(per_second(value.checked_sub(earlier).unwrap_or(value), elapsed))
    }

    fn sum_rate(&self, metric: &str, label: Option<(&str, &str)>) -> String {
        let (now, before) = (self.now.sum(metric, label), self.before);
        let rate = before.map(|(before, elapsed)| {
            let earlier = before.sum(metric, label);
            per_second(now.checked_sub(earlier).unwrap_or(now), elapsed)
        });
        shown_rate(rate)
    }

    fn head(&self) -> Vec<(String, Style)> {
        let stats = self.now;
        let state = match (stats.envoy("server.live"), stats.envoy("server.state")) {
            (_, Some(1)) => "draining",
            (_, Some(2 | 3)) => "starting",
            (Some(1), _) => "live",
            _ => "state unknown",
        };
        let up = stats.envoy("server.uptime").map(|secs| format!(", up {}", time(secs))).unwrap_or_default();
        let workers =
            stats.envoy("server.concurrency").map(|count| format!(", {count} workers")).unwrap_or_default();
        let style = |is_bad| if is_bad { Style::Bad } else { Style::Plain };
        let (reloads, failures, pauses) =
            (stats.wasm(".vm_reload"), stats.wasm(".vm_reload_failure"), stats.wasm(".vm_reload_backoff"));
        let (done, active) =
            (stats.wasm(".vm_reload_success"), stats.envoy("wasm.envoy.wasm.runtime.v8.active"));
        let vms = active.map_or_else(|| "no VMs of V8".to_owned(), |active| format!("{active} VMs"));
        let mut lines = vec![(format!("Envoy {state}{up}{workers}"), style(state != "live"))];
        let failed = reloads.max(done).max(failures).max(pauses);
        let told = if failed == 0 {
            "none has failed".to_owned()
        } else {
            format!("{failed} reloads: {done} done, {failures} failed, {pauses} put off")
        };
        lines.push((format!("{vms}, {told}"), style(failed > 0)));
        if !stats.has_filter() {
            lines.push((
                "no metrics of the filter: is it in this Envoy, and has its configuration been accepted?"
                    .to_owned(),
                Style::Bad,
            ));
            return lines;
        }
        if stats.of("decisions").next().is_some() {
            let of = |outcome| self.sum_rate("decisions", Some(("outcome", outcome)));
            let (hits, misses) = (
                stats.sum("token_cache", Some(("result", "hit"))),
                stats.sum("token_cache", Some(("result", "miss"))),
            );
            let share = hits.saturating_mul(100).checked_div(hits.saturating_add(misses));
            let share = share.map_or("-".to_owned(), |share| format!("{share} %"));
            let checks = self.sum_rate("signature_checks", None);
            lines.push((
                format!(
                    "decisions/s: permit {}, deny {}, report {}; signature checks/s {checks}; token known {share}",
                    of("permit"),
                    of("deny"),
                    of("report"),
                ),
                Style::Plain,
            ));
        }
        let times: Vec<String> = stats
            .times()
            .map(|(path, [half, most])| format!("{} {half:.0}/{most:.0}", plain(path)))
            .collect();
        if !times.is_empty() {
            let line = format!("a decision takes, in us (half of them/99 of 100): {}", times.join(", "));
            lines.push((line, Style::Plain));
        }
        let open = stats
            .of("open_streams")
            .next()
            .map(|_| format!("open streams {}", stats.sum("open_streams", None)));
        let waiting = stats.sum("requests_waiting_for_tokens", None);
        let waits = stats
            .of("requests_waiting_for_tokens")
            .next()
            .map(|_| format!("requests that wait for a token {waiting}"));
        let more: Vec<String> = open.into_iter().chain(waits).collect();
        if !more.is_empty() {
            lines.push((more.join("; "), style(waiting > 0)));
        }
        lines
    }

    /// Series of a counter, those that count most first: the rate, the count, the labels.
    fn busiest(&self, metric: &str) -> Vec<(Option<f64>, u64, Labels)> {
        let series = self.now.of(metric).filter(|(_, value)| *value > 0);
        let mut rows: Vec<_> =
            series.map(|(labels, value)| (self.rate(metric, labels, value), value, labels.clone())).collect();
        rows.sort_by(|(one_rate, one, one_labels), (other_rate, other, other_labels)| {
            let rate = |rate: &Option<f64>| rate.unwrap_or_default();
            rate(other_rate)
                .total_cmp(&rate(one_rate))
                .then(other.cmp(one))
                .then(one_labels.cmp(other_labels))
        });
        rows
    }

    fn decisions(&self) -> Table {
        let mut table = Table::new(&["ROUTE", "ISSUER", "OUTCOME", "REASON", "PER SECOND:", "TOTAL:"]);
        for (rate, total, labels) in self.busiest("decisions") {
            let mut cells: Vec<String> =
                ["route", "issuer", "outcome", "reason"].map(|name| labels.get(name).to_owned()).to_vec();
            cells.extend([shown_rate(rate), total.to_string()]);
            let is_bad = rate.is_some_and(|rate| rate > 0.0) && OPERATORS.contains(&labels.get("reason"));
            table.push(cells, is_bad);
        }
        table
    }

    fn clients(&self) -> Table {
        let mut table = Table::new(&["CLIENT", "ISSUER", "OUTCOME", "PER SECOND:", "TOTAL:"]);
        for (rate, total, labels) in self.busiest("decisions_by_client") {
            let mut cells: Vec<String> =
                ["client", "issuer", "outcome"].map(|name| labels.get(name).to_owned()).to_vec();
            cells.extend([shown_rate(rate), total.to_string()]);
            table.push(cells, false);
        }
        table
    }

    fn keys(&self, unix_time: u64) -> Table {
        let mut table = Table::new(&["KEYS OF", "USABLE:", "AGE:", "FAILURES:", "NEXT FETCH"]);
        for (labels, keys) in self.now.of("keys") {
            let value = |metric| self.now.value(metric, labels);
            let age = value("key_age_seconds").map_or("-".to_owned(), time);
            let failures = value("key_fetch_failures");
            let next = value("key_next_fetch_timestamp_seconds").map_or("-".to_owned(), |at| {
                match at.checked_sub(unix_time) {
                    Some(wait @ 1..) => format!("in {}", time(wait)),
                    Some(0) | None if unix_time.saturating_sub(at) <= USUAL_DELAY => "now".to_owned(),
                    Some(0) | None => format!("due {} ago", time(unix_time.saturating_sub(at))),
                }
            });
            let is_late = value("key_next_fetch_timestamp_seconds")
                .is_some_and(|at| unix_time.saturating_sub(at) > MAX_DELAY);
            let shown = failures.map_or("-".to_owned(), |failures| failures.to_string());
            let cells = vec![with_cluster(labels.get("issuer"), labels), keys.to_string(), age, shown, next];
            table.push(cells, keys == 0 || is_late || failures.unwrap_or_default() > 0);
        }
        table
    }

    fn tokens(&self) -> Table {
        let mut table = Table::new(&[
            "TOKEN OF",
            "EXPIRES",
            "MARGIN:",
            "BREAKER",
            "FAILURES:",
            "PUT ON/S:",
            "DENIED/S:",
            "REQUESTED:",
        ]);
        let owner = |labels: &Labels| labels.only(&["client", "cluster"]);
        let metrics = ["token_seconds_to_expiry", "token_endpoint_breaker", "injections"];
        let owners: BTreeSet<Labels> =
            metrics.iter().flat_map(|metric| self.now.of(metric)).map(|(labels, _)| owner(labels)).collect();
        for labels in owners.iter().filter(|labels| labels.get("client") != "none") {
            let value = |metric| self.now.value(metric, labels);
            let expires = match value("token_seconds_to_expiry") {
                Some(0) => "no token".to_owned(),
                Some(secs) => format!("in {}", time(secs)),
                None => "-".to_owned(),
            };
            let breaker = match value("token_endpoint_breaker") {
                Some(0) => "closed",
                Some(1) => "half-open",
                Some(2) => "open",
                Some(_) => "?",
                None => "-",
            };
            let margin = value("token_margin_left_percent");
            let failures = value("token_request_failures");
            let (mut put_on, mut denied) = (None, None);
            for (series, count) in self.now.of("injections").filter(|(series, _)| owner(series) == *labels) {
                let Some(rate) = self.rate("injections", series, count) else { continue };
                let sum = match series.get("outcome") {
                    "injected" => &mut put_on,
                    "kept" | "passed" | "stripped" => continue,
                    _ => &mut denied,
                };
                *sum = Some(sum.unwrap_or(0.0) + rate);
            }
            let requested = self.now.of("token_requests").filter(|(series, _)| owner(series) == *labels);
            let requested = requested.fold(0_u64, |sum, (_, count)| sum.saturating_add(count));
            let is_bad = value("token_endpoint_breaker").unwrap_or_default() > 0
                || failures.unwrap_or_default() > 0
                || margin.is_some_and(|margin| margin < 50)
                || denied.is_some_and(|rate| rate > 0.0);
            let cells = vec![
                with_cluster(labels.get("client"), labels),
                expires,
                margin.map_or("-".to_owned(), |margin| format!("{margin} %")),
                breaker.to_owned(),
                failures.map_or("-".to_owned(), |failures| failures.to_string()),
                shown_rate(put_on.or(self.before.map(|_| 0.0))),
                shown_rate(denied.or(self.before.map(|_| 0.0))),
                requested.to_string(),
            ];
            table.push(cells, is_bad);
        }
        table
    }
}

fn with_cluster(name: &str, labels: &Labels) -> String {
    match labels.get("cluster") {
        "" => name.to_owned(),
        cluster => format!("{} ({})", plain(name), plain(cluster)),
    }
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    // Beyond 2^32 in an interval, a rate is not read any more.
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / elapsed.as_secs_f64().max(0.001)
}

fn shown_rate(rate: Option<f64>) -> String {
    rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"))
}

/// A duration for people: rounded down to the unit that matters.
fn time(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs.div_euclid(60)),
        _ => format!("{} h", secs.div_euclid(3_600)),
    }
}

/// How long after its time a fetch is usually sent, and seen here: seconds.
const USUAL_DELAY: u64 = 5;
/// How long after its time one is sent if all is well: seconds.
const MAX_DELAY: u64 = 120;
/// How many lines of a table are kept free where there is little room.
const MIN_ROWS: usize = 4;
/// Reasons that are not the callers' fault.
const OPERATORS: [&str; 6] =
    ["keys_unavailable", "waiting_full", "checks_limited", "streams_full", "route_metadata", "internal"];

#[cfg(test)]
mod tests {
    use super::*;

    fn stats(values: &[(&str, u64)]) -> Stats {
        let stats: Vec<_> =
            values.iter().map(|(name, value)| serde_json::json!({ "name": name, "value": value })).collect();
        Stats::parse(serde_json::json!({ "stats": stats }).to_string().as_bytes()).unwrap()
    }

    const PERMIT: &str =
        "wasmcustom.route=.=a;.;issuer=.=demo;.;outcome=.=permit;.;reason=.=ok;.;attache_decisions_total";

    #[test]
    fn a_counter_that_has_become_less_has_begun_anew() {
        let (before, now) = (stats(&[(PERMIT, 100)]), stats(&[(PERMIT, 10)]));
        let view = View::of(&now, Some((&before, Duration::from_secs(2))), 0);
        assert!(view.text().contains("permit 5.0,"), "{}", view.text());
    }

    #[test]
    fn no_line_is_longer_and_no_view_higher_than_the_terminal() {
        let routes: Vec<String> = (0..50).map(|n| PERMIT.replace("=a;", &format!("=route-{n};"))).collect();
        let mut values: Vec<(&str, u64)> = routes.iter().map(|name| (name.as_str(), 1)).collect();
        values.push(("wasmcustom.issuer=.=demo;.;attache_keys", 0));
        values.push(("wasmcustom.client=.=c;.;attache_token_seconds_to_expiry", 100));
        let view = View::of(&stats(&values), None, 0);
        for (width, height) in [(80, 24), (40, 10), (20, 3), (1, 1), (0, 0), (300, 100)] {
            let lines = view.lines(width, height);
            assert!(lines.len() <= height, "{height}: {} lines", lines.len());
            assert!(lines.iter().all(|(line, _)| line.len() <= width), "{width}");
        }
        let told: Vec<String> = view.lines(80, 24).into_iter().map(|(line, _)| line).collect();
        let told = told.join("\n");
        for part in ["route-", " more", "KEYS OF", "demo", "TOKEN OF"] {
            assert!(told.contains(part), "{part}:\n{told}");
        }
        let small: Vec<String> = view.lines(80, 9).into_iter().map(|(line, _)| line).collect();
        assert!(small.iter().any(|line| line.starts_with("route-")), "{small:?}");
    }

    #[test]
    fn a_fetch_that_is_due_for_two_minutes_stands_out() {
        let next = "wasmcustom.issuer=.=demo;.;attache_key_next_fetch_timestamp_seconds";
        let stats = stats(&[("wasmcustom.issuer=.=demo;.;attache_keys", 1), (next, 1_000)]);
        let told = |now| {
            let lines = View::of(&stats, None, now).lines(80, 24);
            lines.into_iter().find(|(line, _)| line.starts_with("demo")).unwrap()
        };
        for (now, words, style) in [
            (990, "in 10 s", Style::Plain),
            (1_000, "now", Style::Plain),
            (1_005, "now", Style::Plain),
            (1_006, "due 6 s ago", Style::Plain),
            (1_120, "due 2 min ago", Style::Plain),
            (1_121, "due 2 min ago", Style::Bad),
        ] {
            let (line, look) = told(now);
            assert!(line.ends_with(words) && look == style, "{now}: {line} {look:?}");
        }
    }

    #[test]
    fn names_cannot_reach_the_terminal_as_commands() {
        let name = PERMIT.replace("=a;", "=\u{1b}]0;x\u{7}\u{1b}[2J\n\u{9b}31m;");
        let cluster = "cluster.\u{1b}[2J.wasmcustom.client=.=\u{1b}c;.;attache_token_seconds_to_expiry";
        let view = View::of(&stats(&[(&name, 1), (cluster, 1)]), None, 0);
        let lines: String = view.lines(200, 50).into_iter().map(|(line, _)| line).collect();
        for text in [view.text().replace('\n', ""), lines] {
            assert!(text.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic()), "{text:?}");
            assert!(text.contains(r"\u{1b}[2J"), "{text}");
        }
    }
}
