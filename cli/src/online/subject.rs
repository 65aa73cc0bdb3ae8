use attache::config::{self, Config};

use crate::document::Document;
use crate::reading::{Filter, Set};
use crate::variables::{self, Reference, StandIns, Variables};

/// A filter, and what its configuration means here.
pub(super) struct Subject<'s, 'a> {
    pub(super) set: &'s Set<'a>,
    pub(super) filter: &'s Filter<'a>,
    pub(super) config: Config,
    /// Where its configuration names variables that are not set here: something else stands in their places.
    pub(super) unset: Vec<Reference<'a>>,
}

impl<'s, 'a> Subject<'s, 'a> {
    /// `None` where the configuration does not compile, which is a finding of its own.
    pub(super) fn new(set: &'s Set<'a>, filter: &'s Filter<'a>) -> Option<Self> {
        let variables = Variables::of(filter);
        let references = variables::references(&filter.config);
        let has_vm_id = filter.has_vm_id().unwrap_or_default();
        let environment = StandIns { variables: &variables, references: &references, has_vm_id };
        let config = Document::of(filter).compile_in(&environment).ok()?;
        let unset = references
            .iter()
            .filter(|reference| config::Environment::variable(&variables, reference.name).is_none())
            .cloned()
            .collect();
        Some(Self { set, filter, config, unset })
    }
}
