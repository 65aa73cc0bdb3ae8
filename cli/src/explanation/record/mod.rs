//! A record of an access log: what the filter said of a request, held against the configuration at hand.
//!
//! Records are the text of others. They are read within bounds, and what they say is shown and compared, not trusted.

mod inbound;
mod line;
mod outbound;
mod reasons;
mod told;
mod tree;

use attache::config::{Config, Value};

pub use line::{Fault, Record};

use super::page::{Explanation, Page, quoted};
use told::Told;

impl Record {
    /// Whether the inbound half has said something.
    pub fn has_inbound(&self) -> bool {
        self.text("outcome").is_some() || self.text("reason").is_some()
    }

    /// Whether the outbound half has.
    pub fn has_outbound(&self) -> bool {
        self.text("outbound_outcome").is_some()
    }

    /// Says why the request got what it got. For each half that the record speaks of, its configuration is given, and
    /// what that was compiled from. [`Explanation::is_forwarded`] says whether the two fit.
    pub fn explain(
        &self,
        inbound: Option<(&Config, &Value)>,
        outbound: Option<(&Config, &Value)>,
    ) -> Explanation {
        let mut told = Told::default();
        self.head(&mut told.page);
        if let Some((config, value)) = inbound
            && let Some(settings) = config.inbound.as_deref()
        {
            inbound::explain(self, settings, value, &mut told);
        }
        if let Some((config, _)) = outbound
            && let Some(settings) = config.outbound.as_deref()
        {
            outbound::explain(self, settings, &mut told);
        }
        if !self.has_inbound() && !self.has_outbound() {
            told.page.failed(
                "no decision",
                "the record has neither `outcome` and `reason` nor `outbound_outcome`",
            );
            told.page.note("either Envoy has answered before the filter, or these fields are not logged");
            told.advise("operator", "if they are not logged, list these fields in `audit`, and in the format of Envoy's access log");
            return Explanation { is_forwarded: false, ..told.finish() };
        }
        told.finish()
    }

    fn head(&self, page: &mut Page) {
        let mut parts = Vec::new();
        for (name, label) in
            [("request_id", "request"), ("time", "at"), ("method", "method"), ("status", "status")]
        {
            if let Some(text) = self.text(name) {
                parts.push(format!("{label} {}", quoted(text)));
            }
        }
        if parts.is_empty() {
            parts.push("a record".to_owned());
        }
        page.heading(&parts.join(", "));
    }
}
