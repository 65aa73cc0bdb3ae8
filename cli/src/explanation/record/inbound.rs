//! What the inbound half has said of a request.

use attache::config::Value;
use attache::inbound::{MetadataUse, Settings};
use attache::policy::{IssuerId, Mode, Requirement, Route, Rule};

use super::super::page::{Mark, quoted, quoted_list};
use super::super::requirement::in_words;
use super::line::{Record, logged};
use super::reasons::{self, INBOUND};
use super::told::{Told, nearest};
use super::tree::Facts;

/// Adds it to what is told.
pub(super) fn explain(record: &Record, settings: &Settings, value: &Value, told: &mut Told) {
    Half { record, settings, value, told }.explain();
}

struct Half<'a> {
    record: &'a Record,
    settings: &'a Settings,
    /// What the configuration was compiled from.
    value: &'a Value,
    told: &'a mut Told,
}

impl<'a> Half<'a> {
    fn explain(mut self) {
        let outcome = self.record.text("outcome").unwrap_or_default();
        if outcome == "resource_metadata" {
            self.told
                .page
                .step("metadata", "the request asked for the metadata of the protected resource (RFC 9728)");
            self.told.page.result("answered with the metadata");
            return;
        }
        let route = self.route();
        self.issuer();
        self.token();
        let reason = self.record.text("reason").unwrap_or_default();
        match reason {
            "ok" | "" => {
                if let Some(requirement) = route.and_then(|route| route.rule.requirement()) {
                    self.permitted(requirement, outcome);
                }
            }
            "anonymous" => self.told.page.step("anonymous", "there is no token, and none is needed"),
            _ => self.denied(reason, route),
        }
        self.outcome(outcome, route);
        self.rule(reason, route);
    }

    /// Which route it was, and what that demands today.
    fn route(&mut self) -> Option<&'a Route> {
        let Some(name) = self.record.text("route") else {
            self.told.page.note("the record names no route: none was looked up, or the field is not logged");
            return None;
        };
        let settings = self.settings;
        let routes = settings.routes.routes();
        let Some(route) = routes.iter().find(|route| *route.name == *name) else {
            self.told.page.failed("route", &format!("{} is not in the configuration", quoted(name)));
            let near = nearest(name, routes.iter().map(|route| &*route.name));
            self.told
                .misfit(format!("route {}: the configuration has none of this name{near}", quoted(name)));
            return None;
        };
        let rule = match &route.rule {
            Rule::Public => "public".to_owned(),
            Rule::Deny => "denied".to_owned(),
            Rule::Require(requirement) => in_words(requirement, settings),
            Rule::Optional(requirement) => format!("no token, or {}", in_words(requirement, settings)),
        };
        let mode = if route.mode == Mode::ReportOnly { " (report-only)" } else { "" };
        self.told.page.step("route", &format!("{}: {rule}{mode}", route.name));
        self.pattern(name);
        Some(route)
    }

    /// What the route's entry says that a record says, too.
    fn pattern(&mut self, name: &str) {
        let member = |value: &'a Value, name: &str| {
            value.as_object()?.iter().find(|(member, _)| member == name).map(|(_, value)| value)
        };
        let entry = || {
            let routes = member(member(self.value, "inbound")?, "routes")?.as_list()?;
            routes.iter().find(|route| member(route, "name").and_then(Value::as_str) == Some(name))
        };
        let Some(entry) = entry() else { return };
        let matched = member(entry, "match");
        let path = matched.and_then(|matched| {
            let text = |name| member(matched, name).and_then(Value::as_str);
            text("path").map(str::to_owned).or_else(|| {
                let prefix = text("prefix")?;
                Some(format!("{}/*", prefix.trim_end_matches('/')))
            })
        });
        if let (Some(said), Some(path)) = (self.record.text("path_template"), path)
            && !self.record.is_cut("path_template")
            && said != logged(&path)
        {
            self.told.misfit(format!(
                "path: the record has {}, and route {name} has {}",
                quoted(said),
                quoted(&path)
            ));
        }
        let api = member(entry, "api").and_then(Value::as_str);
        if let Some(said) = self.record.text("api").filter(|said| Some(*said) != api) {
            let api = api.map_or("none".to_owned(), quoted);
            self.told.misfit(format!("api: the record has {}, and route {name} has {api}", quoted(said)));
        }
        let methods: Vec<&str> = matched
            .and_then(|matched| member(matched, "methods")?.as_list())
            .map(|methods| methods.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        if let Some(method) = self.record.text("method") {
            let is_listed = methods.is_empty()
                || methods.contains(&method)
                || method == "HEAD" && methods.contains(&"GET");
            if !is_listed {
                self.told.misfit(format!(
                    "method: the record has {}, and route {name} is for {}",
                    quoted(method),
                    methods.join(" ")
                ));
            }
        }
    }

    fn issuer(&mut self) {
        let Some(name) = self.record.text("issuer") else { return };
        match self.settings.issuers.iter().find(|issuer| &*issuer.name == name) {
            Some(issuer) => {
                let url = issuer.metadata_issuer();
                self.told.page.step("issuer", &format!("{name} ({})", quoted(url)));
            }
            None => {
                self.told.page.failed("issuer", &format!("{} is not in the configuration", quoted(name)));
                let near = nearest(name, self.settings.issuers.iter().map(|issuer| &*issuer.name));
                self.told.misfit(format!(
                    "issuer {}: the configuration has none of this name{near}",
                    quoted(name)
                ));
            }
        }
    }

    /// What the record says of the token.
    fn token(&mut self) {
        let said = |name: &str| self.record.text(name).map(quoted);
        let mut parts = Vec::new();
        for (name, label) in
            [("client", "client"), ("subject", "subject"), ("token_id", "token"), ("key_id", "key")]
        {
            parts.extend(said(name).map(|text| format!("{label} {text}")));
        }
        match self.record.text("work") {
            Some("cached") => parts.push("verified before".to_owned()),
            Some("checked") => parts.push("its signature was checked for this request".to_owned()),
            Some("waited") => parts.push("the request waited for keys".to_owned()),
            Some(other) => self.told.misfit(format!("work: {} is no word of this version", quoted(other))),
            None => {}
        }
        if let Some(time) = self.record.text("duration_us").filter(|time| time.parse::<u64>().is_ok()) {
            parts.push(format!("decided in {time} us"));
        }
        if !parts.is_empty() {
            self.told.page.step("token", &parts.join(", "));
        }
    }

    /// A request that was let through has met its requirement, as far as the record shows.
    fn permitted(&mut self, requirement: &Requirement, outcome: &str) {
        if outcome == "end" {
            return;
        }
        self.requirement();
        self.told.page.step("requirement", &in_words(requirement, self.settings));
        let facts = Facts::of(self.record, self.settings);
        if facts.judge(requirement) == Mark::Bad {
            self.told.misfit(
                "the request was let through, and its route would deny it by this configuration".to_owned(),
            );
        }
    }

    /// The name of the requirement that decided.
    fn requirement(&mut self) {
        let Some(name) = self.record.text("requirement").filter(|name| !MEMBERS.contains(name)) else {
            return;
        };
        if !self.settings.requirements.contains_key(name) {
            let near = nearest(name, self.settings.requirements.keys().map(|name| &**name));
            self.told.misfit(format!(
                "requirement {}: the configuration has none of this name{near}",
                quoted(name)
            ));
        }
    }

    fn denied(&mut self, label: &str, route: Option<&'a Route>) {
        let Some(reason) = reasons::find(INBOUND, label) else {
            self.told.page.failed("reason", &format!("{} is none that this version knows", quoted(label)));
            self.told.misfit(format!(
                "reason {}: this version of attachectl knows none of this name",
                quoted(label)
            ));
            return;
        };
        self.told.page.failed(reason.label, reason.text);
        self.requirement();
        if let Some(name) = self.record.text("requirement") {
            let what = if MEMBERS.contains(&name) {
                format!("`{name}` of the route's requirement")
            } else {
                format!("requirement {}", quoted(name))
            };
            self.told.page.note(&format!("what decided: {what}"));
        }
        let (needed, missing) = (self.record.words("scopes_needed"), self.record.words("scopes_missing"));
        if !needed.is_empty() {
            let cut = if self.record.is_cut("scopes_needed") { ", and more" } else { "" };
            self.told.page.note(&format!(
                "scopes needed: {}{cut}",
                quoted_list(needed.iter().take(MAX_SCOPES).copied())
            ));
        }
        // Without a token, all of them are.
        if !missing.is_empty() && label != "credential_missing" {
            let cut = if self.record.is_cut("scopes_missing") { ", and more" } else { "" };
            self.told.page.note(&format!(
                "scopes missing: {}{cut}",
                quoted_list(missing.iter().take(MAX_SCOPES).copied())
            ));
        }
        let requirement = route.and_then(|route| route.rule.requirement());
        if let Some(requirement) = requirement.filter(|_| OF_REQUIREMENTS.contains(&label)) {
            self.told.page.heading("the requirement, as far as the record tells");
            let facts = Facts::of(self.record, self.settings);
            facts.write(&mut self.told.page, requirement, self.settings, 0);
            if facts.judge(requirement) == Mark::Good {
                self.told.misfit(
                    "the request was denied, and the token would be good enough for its route today"
                        .to_owned(),
                );
            }
            if label == "client_not_accepted" && facts.accepts_client(requirement) {
                self.told.misfit("client: the requirement does not refuse it today".to_owned());
            }
            self.scopes(requirement, &needed);
        }
        self.advise(reason, &missing);
    }

    /// Scopes that the route does not ask for.
    fn scopes(&mut self, requirement: &Requirement, needed: &[&str]) {
        // Envoy's own route may have asked for them, which no file of ours shows.
        if self.settings.route_metadata == MetadataUse::Read || self.record.is_cut("scopes_needed") {
            return;
        }
        let asked = requirement.scopes();
        let strange: Vec<&str> =
            needed.iter().filter(|scope| !asked.iter().any(|one| logged(one) == **scope)).copied().collect();
        if !strange.is_empty() {
            let strange = quoted_list(strange.into_iter().take(MAX_SCOPES));
            self.told.misfit(format!("scopes needed: the route does not ask for {strange}"));
        }
    }

    fn advise(&mut self, reason: &reasons::Reason, missing: &[&str]) {
        if reason.label == "scope_insufficient" && !missing.is_empty() {
            let scopes = missing.iter().take(MAX_SCOPES).copied().collect::<Vec<_>>().join(" ");
            self.told.advise(
                reason.who,
                format!("ask the token endpoint for a token with scope={}", quoted(&scopes)),
            );
            self.told.advise(
                "operator",
                "if the token endpoint refuses that, grant them to the client at the issuer",
            );
            return;
        }
        if reason.label == "credential_missing" {
            let needed = self.record.words("scopes_needed");
            let scopes = needed.iter().take(MAX_SCOPES).copied().collect::<Vec<_>>().join(" ");
            let with =
                if scopes.is_empty() { String::new() } else { format!(" with scope={}", quoted(&scopes)) };
            self.told.advise(reason.who, format!("get a token{with}, and send it with the request"));
            return;
        }
        self.told.advise(reason.who, reason.what);
    }

    fn outcome(&mut self, outcome: &str, route: Option<&Route>) {
        let status =
            self.record.text("status").map(|status| format!(", answered {status}")).unwrap_or_default();
        let result = match outcome {
            // What came of it, the outbound half says.
            "permit" if self.record.has_outbound() => "let through by the inbound half".to_owned(),
            "permit" => format!("forwarded{status}"),
            "deny" => format!("denied{status}"),
            "report" => format!("forwarded, and only reported{status}"),
            "end" => "ended: the stream's token expired while it was open".to_owned(),
            "" => return,
            other => {
                self.told.misfit(format!("outcome {}: this version knows none of this name", quoted(other)));
                return;
            }
        };
        self.told.page.result(&result);
        let reports = route.is_none_or(|route| route.mode == Mode::ReportOnly)
            || self.settings.issuers.iter().any(|issuer| issuer.mode == Mode::ReportOnly);
        if outcome == "report" && !reports {
            self.told.misfit("outcome report: neither the route nor an issuer is report-only".to_owned());
        }
        let reason = self.record.text("reason").unwrap_or_default();
        if outcome == "deny"
            && OF_REQUIREMENTS.contains(&reason)
            && route.is_some_and(|route| route.mode == Mode::ReportOnly)
        {
            self.told.misfit("outcome deny: the route is report-only today".to_owned());
        }
        if outcome == "report" {
            self.told.advise("operator", "once the mode is `enforce`, such requests are denied");
        }
    }

    /// What no route of this kind says.
    fn rule(&mut self, reason: &str, route: Option<&Route>) {
        let Some(route) = route else { return };
        // What Envoy's route demands opens a route that is closed.
        let may_be_opened = self.settings.route_metadata == MetadataUse::Read;
        let fits = match (&route.rule, reason) {
            (Rule::Deny, _) if may_be_opened => true,
            (Rule::Deny, "ok") => false,
            (Rule::Public | Rule::Deny | Rule::Require(_), "anonymous") => false,
            (Rule::Public | Rule::Require(_) | Rule::Optional(_), "route_denied") => false,
            (Rule::Public, reason) => may_be_opened || !OF_TOKENS.contains(&reason),
            (Rule::Deny | Rule::Require(_) | Rule::Optional(_), _) => true,
        };
        if !fits {
            self.told.misfit(format!(
                "reason {}: no request of route {} gets it today",
                quoted(reason),
                route.name
            ));
        }
        let accepted = route.rule.requirement().zip(self.record.text("issuer"));
        if let Some((requirement, name)) = accepted.filter(|_| reason == "issuer_not_accepted") {
            let place = self.settings.issuers.iter().position(|issuer| &*issuer.name == name);
            if place.and_then(IssuerId::at).is_some_and(|id| requirement.accepts(id)) {
                self.told.misfit(format!("issuer {}: the route accepts it today", quoted(name)));
            }
        }
    }
}

/// What `requirement` says where what decided has no name.
const MEMBERS: [&str; 7] = ["issuers", "audiences", "clients", "subjects", "claims", "scopes", "any_scope"];
/// The reasons of which the requirement is the cause.
const OF_REQUIREMENTS: [&str; 6] = [
    "issuer_not_accepted",
    "audience_not_accepted",
    "client_not_accepted",
    "subject_not_accepted",
    "claim_not_accepted",
    "scope_insufficient",
];
/// Some that no request gets of which no token is asked.
const OF_TOKENS: [&str; 9] = [
    "credential_missing",
    "issuer_not_accepted",
    "audience_not_accepted",
    "client_not_accepted",
    "subject_not_accepted",
    "claim_not_accepted",
    "scope_insufficient",
    "expired",
    "issuer_unknown",
];
/// What fits a line.
const MAX_SCOPES: usize = 20;
