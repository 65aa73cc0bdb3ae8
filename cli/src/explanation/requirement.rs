//! A requirement in words.

use attache::inbound;
use attache::policy::{IssuerId, Leaf, Requirement};

/// What a token has to be good for.
pub(super) fn in_words(requirement: &Requirement, settings: &inbound::Settings) -> String {
    match requirement {
        Requirement::Leaf(Leaf::Issuer(issuers)) => {
            format!("a token of {}", names(issuers, settings).join(" or "))
        }
        Requirement::Leaf(Leaf::Scope(scope)) => scope.to_string(),
        Requirement::Any(parts) => {
            let parts: Vec<_> = parts.iter().map(|part| in_words(part, settings)).collect();
            format!("with one of: {}", parts.join(" "))
        }
        Requirement::All(parts) => {
            let is_scope = |part: &&Requirement| matches!(part, Requirement::Leaf(Leaf::Scope(_)));
            let (scopes, others): (Vec<_>, Vec<_>) = parts.iter().partition(is_scope);
            let scopes: Vec<_> = scopes.into_iter().map(|scope| in_words(scope, settings)).collect();
            let mut texts: Vec<_> = others.into_iter().map(|part| in_words(part, settings)).collect();
            if !scopes.is_empty() {
                texts.insert(texts.len().min(1), format!("with all of: {}", scopes.join(" ")));
            }
            texts.join(" ")
        }
    }
}

/// The names of issuers.
pub(super) fn names<'a>(issuers: &[IssuerId], settings: &'a inbound::Settings) -> Vec<&'a str> {
    let issuer = |id: &IssuerId| settings.issuers.get(id.place());
    issuers.iter().filter_map(issuer).map(|issuer| &*issuer.name).collect()
}
