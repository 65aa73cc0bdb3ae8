//! The block `audit`.

use std::rc::Rc;

use super::environment::Environment;
use super::reader::{Fields, Node};
use super::values;
use crate::claims::{AskedAudit, AuditedForm, DigestKey, MIN_DIGEST_KEY_BYTES};
use crate::telemetry::{AuditField, AuditSettings};

/// Which blocks there are: only those fill fields in.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    pub(super) has_inbound: bool,
    pub(super) has_outbound: bool,
}

/// How a name is to be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Digest,
}

pub(super) fn read(node: &Node<'_>, halves: Halves, environment: &dyn Environment) -> Option<AuditSettings> {
    let fields = node.fields(&["fields", "subject", "token", "digest_key", "token_events"])?;
    let listed = fields.read("fields", |node| listed(node, halves));
    let subject =
        fields.maybe("subject", |node| node.word(&[("plain", Form::Plain), ("digest", Form::Digest)]));
    let token = fields.maybe("token", |node| node.word(&[("jti", Form::Plain), ("digest", Form::Digest)]));
    let key = fields.maybe("digest_key", |node| digest_key(node, environment));
    let token_events = fields.maybe("token_events", |node| token_events(node, halves));
    let (listed, subject, token, key, token_events) = (listed?, subject?, token?, key?, token_events?);
    // Who asks for records gets those that happen without a request, too.
    let token_events = token_events.unwrap_or(halves.has_outbound);
    let has = |field| listed.as_ref().is_none_or(|fields| fields.contains(&field)) && halves.have(field);
    let subject = form(&fields, "subject", subject, has(AuditField::Subject));
    let token = form(&fields, "token", token, has(AuditField::TokenId));
    if listed.as_ref().is_some_and(|fields| fields.contains(&AuditField::Subject)) && subject == Some(None) {
        fields.node().problem::<()>("missing field `subject`: say how the field `subject` is written");
        return None;
    }
    let (subject, token) = (subject?, token?);
    let digests = [subject, token].contains(&Some(Form::Digest));
    let key = match (digests, key) {
        (true, None) => return fields.node().problem("missing field `digest_key`: a digest needs a key"),
        (false, Some(_)) => {
            return fields
                .optional("digest_key")
                .and_then(|node| node.problem("nothing is written as a digest: leave this out"));
        }
        (true, key @ Some(_)) => key,
        (false, None) => None,
    };
    let written = |form: Option<Form>| match (form?, &key) {
        (Form::Digest, Some(key)) => Some(AuditedForm::Digest(Rc::clone(key))),
        (Form::Plain | Form::Digest, _) => Some(AuditedForm::Plain),
    };
    // `all` is all that needs no other word.
    let all = AuditField::ALL.into_iter().filter(|field| *field != AuditField::Subject || subject.is_some());
    let fields = listed.unwrap_or_else(|| all.filter(|field| halves.have(*field)).collect());
    let token = token.or_else(|| fields.contains(&AuditField::TokenId).then_some(Form::Plain));
    let asked = AskedAudit { subject: written(subject), token: written(token) };
    let (outbound, inbound): (Vec<_>, Vec<_>) = fields.into_iter().partition(|field| field.is_outbound());
    Some(AuditSettings { inbound: inbound.into(), outbound: outbound.into(), asked, token_events })
}

impl Halves {
    fn have(self, field: AuditField) -> bool {
        if field.is_outbound() { self.has_outbound } else { self.has_inbound }
    }
}

/// The fields that are listed; `None` for all.
fn listed(node: &Node<'_>, halves: Halves) -> Option<Option<Vec<AuditField>>> {
    if node.is_string() {
        return node.lone_word("all", "`all`, or a list of fields").map(|()| None);
    }
    let words = AuditField::ALL.map(|field| (field.word(), field));
    let fields = node.distinct(words.len(), "field", |item| {
        let field = item.word(&words)?;
        if halves.have(field) {
            return Some(field);
        }
        let block = if field.is_outbound() { "outbound" } else { "inbound" };
        item.problem(format_args!("there is no block `{block}` to fill this in: leave it out"))
    });
    fields.map(Some)
}

/// Whether what happens to clients' tokens is recorded.
fn token_events(node: &Node<'_>, halves: Halves) -> Option<bool> {
    if !halves.has_outbound {
        return node.problem("there is no block `outbound` to record the tokens of: leave this out");
    }
    node.word(&[("log", true), ("none", false)])
}

/// How a field is written, unless it is not recorded at all.
fn form(fields: &Fields<'_>, name: &str, form: Option<Form>, is_recorded: bool) -> Option<Option<Form>> {
    match fields.optional(name).filter(|_| form.is_some() && !is_recorded) {
        Some(node) => node.problem("the field that this is about is not listed: leave this out"),
        None => Some(form),
    }
}

fn digest_key(node: &Node<'_>, environment: &dyn Environment) -> Option<Rc<DigestKey>> {
    let variable = values::env(node)?;
    let secret = values::secret(&variable, environment)?;
    let key = DigestKey::new(secret).map(Rc::new);
    key.or_else(|| {
        variable.problem(format_args!("a key of digests has at least {MIN_DIGEST_KEY_BYTES} bytes"))
    })
}
