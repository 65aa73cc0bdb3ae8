/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know. It cannot be silenced, and changes no exit code.
    Note,
    /// It may be meant.
    Warning,
    /// It exposes a secret or a rule, or the filter or Envoy does not start.
    Error,
}

impl Severity {
    /// As SARIF and the text output have it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, for comments that silence it and for other tools: it never changes.
    pub name: &'static str,
    /// How much its findings weigh.
    pub severity: Severity,
    /// What it finds.
    pub finds: &'static str,
    /// What to do about it.
    pub cure: &'static str,
}
