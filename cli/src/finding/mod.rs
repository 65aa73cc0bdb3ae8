//! What `check` finds: a rule, a place in a file, what will happen, and what to do.

mod rule;
pub mod table;

pub use rule::{Rule, Severity};

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Location {
    /// The file's name as it was given; `-` is standard input.
    pub file: String,
    /// Which document of the file, from 1; `None` where it holds only one.
    pub document: Option<usize>,
    /// The path to the value, `static_resources.clusters[2].transport_socket`; empty for the whole document.
    pub path: String,
    /// The line of the value, or of the nearest one around it that is there; from 1.
    pub line: Option<u64>,
}

impl Location {
    /// A file as a whole.
    pub fn of_file(file: &str) -> Self {
        Self { file: file.to_owned(), document: None, path: String::new(), line: None }
    }
}

/// One thing that was found.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The rule that it breaks.
    pub rule: &'static Rule,
    /// Where it is mended.
    pub location: Location,
    /// Other places that have a part in it. Comments there silence the rule only where there is one at each of them.
    pub related: Vec<Location>,
    /// What stands there, and what will happen. Names of the configuration, never a secret.
    pub message: String,
    /// What to do; empty where the message says it.
    pub advice: String,
    /// The reason that the file gives for allowing it, if it does.
    pub allowed: Option<String>,
}

impl Finding {
    /// A finding that nothing allows.
    pub fn new(
        rule: &'static Rule,
        location: Location,
        message: impl Into<String>,
        advice: impl Into<String>,
    ) -> Self {
        let (message, advice) = (message.into(), advice.into());
        Self { rule, location, related: Vec::new(), message, advice, allowed: None }
    }

    /// The same, with another place that has a part in it.
    #[must_use]
    pub fn beside(mut self, location: Location) -> Self {
        self.related.push(location);
        self
    }

    /// Whether it still counts: nothing allows it.
    pub fn is_active(&self) -> bool {
        self.allowed.is_none()
    }
}
