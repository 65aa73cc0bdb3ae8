use super::endpoint::Endpoint;
use crate::finding::{Finding, Location, Severity};

/// What was found in a set of files.
#[derive(Clone, Debug)]
pub struct Report {
    /// In the order of files and lines.
    pub findings: Vec<Finding>,
    /// The filters whose configuration holds together.
    pub filters: Vec<Checked>,
    /// Whether a file could not be read.
    pub has_unread: bool,
    /// What was asked, in this order; `None` where nothing was to be.
    pub endpoints: Option<Vec<Endpoint>>,
}

/// A filter whose configuration holds together.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Where its configuration stands.
    pub location: Location,
    /// Its name; empty where it has none.
    pub name: String,
    /// What it does, in a few words.
    pub summary: String,
    /// Its routes in the order in which they match, a line each; `None` without an inbound half.
    pub routes: Option<String>,
}

impl Report {
    /// How many findings count, of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.is_active() && finding.rule.severity == severity)
            .count()
    }

    /// 0: no error. 1: an error, or a warning where warnings count as errors. 2: a file could not be read.
    pub fn exit_code(&self, warnings_are_errors: bool) -> u8 {
        let has_failed =
            self.count(Severity::Error) > 0 || warnings_are_errors && self.count(Severity::Warning) > 0;
        match (self.has_unread, has_failed) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        }
    }
}
