//! What `check` has found, and the forms in which it is printed.

mod endpoint;
mod json;
mod sarif;
mod text;
mod verdict;

pub use endpoint::{Answer, Certificate, Endpoint, Exchange, Tls, Verdict};
pub use verdict::{Checked, Report};

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// SARIF 2.1.0, which code hosts show beside lines.
    Sarif,
}

impl Format {
    /// Writes a report.
    pub fn write(self, report: &Report) -> String {
        match self {
            Self::Text => text::write(report),
            Self::Json => json::write(report),
            Self::Sarif => sarif::write(report),
        }
    }
}
