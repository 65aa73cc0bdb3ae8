use crate::document::Document;
use crate::reading::{Filter, Place, Set};
use crate::variables::{Reference, Variables};

/// A filter, and all that is known around it.
pub(crate) struct Subject<'s, 'a> {
    pub(crate) set: &'s Set<'a>,
    pub(crate) filter: &'s Filter<'a>,
    pub(crate) document: Document,
    /// The variables of its VM.
    pub(crate) variables: Variables,
    /// Where its configuration names variables.
    pub(crate) references: Vec<Reference<'a>>,
}

impl<'a> Subject<'_, 'a> {
    /// The secrets that the bootstrap itself holds.
    pub(crate) fn secrets(&self) -> Vec<Place<'a>> {
        let bootstrap = self.filter.bootstrap.and_then(|place| self.set.bootstraps.get(place));
        let resources = bootstrap.and_then(|bootstrap| bootstrap.place.member("static_resources"));
        resources.iter().flat_map(|resources| resources.list("secrets")).collect()
    }

    /// The manifests of a kind.
    pub(crate) fn manifests(&self, kind: &str) -> Vec<Place<'a>> {
        let manifests = self.set.manifests.iter().filter(|manifest| manifest.kind == kind);
        manifests.map(|manifest| manifest.place.clone()).collect()
    }
}
