use core::fmt;

use crate::jose::{Json, Object};

/// Where a claim stands: one member name, or the names from the outermost object to the innermost.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimPath(Vec<Box<str>>);

impl ClaimPath {
    /// A path of at least one name, each not empty, at most [`ClaimPath::MAX_NAMES`] of them; otherwise `None`.
    pub fn new<N: AsRef<str>>(names: &[N]) -> Option<Self> {
        let whole = !names.is_empty()
            && names.len() <= Self::MAX_NAMES
            && names.iter().all(|name| !name.as_ref().is_empty());
        whole.then(|| Self(names.iter().map(|name| name.as_ref().into()).collect()))
    }

    /// The claim at this path.
    pub fn find<'a, 't>(&self, claims: &'a Object<'t>) -> Option<&'a Json<'t>> {
        self.look(claims).ok().flatten()
    }

    /// The same, where it matters whether the claim is not there or the path leads through something that is no object.
    /// `null` is what is not there.
    pub(super) fn look<'a, 't>(&self, claims: &'a Object<'t>) -> Result<Option<&'a Json<'t>>, NotAnObject> {
        let Some((last, outer)) = self.0.split_last() else { return Ok(None) };
        let mut object = claims;
        for name in outer {
            object = match object.get(name) {
                None | Some(Json::Null) => return Ok(None),
                Some(value) => value.as_object().ok_or(NotAnObject)?,
            };
        }
        Ok(object.get(last))
    }

    /// The claim's name, if it stands in the outermost object.
    pub fn top_level(&self) -> Option<&str> {
        match self.0.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// Deeper than any issuer we know of nests its claims (Keycloak's `resource_access.<client>.roles` is three).
    pub const MAX_NAMES: usize = 8;
}

/// A path leads through something that is no object.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotAnObject;

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_names_and_not_too_many() {
        assert_eq!(ClaimPath::new::<&str>(&[]), None);
        assert_eq!(ClaimPath::new(&["a", ""]), None);
        assert!(ClaimPath::new(&["a"; ClaimPath::MAX_NAMES]).is_some());
        assert_eq!(ClaimPath::new(&["a"; ClaimPath::MAX_NAMES + 1]), None);
    }

    #[test]
    fn a_path_leads_through_objects_only() {
        let claims = Object::parse(br#"{"a":{"b":{"c":1}},"a.b":2,"l":[{"c":3}],"n":null}"#).unwrap();
        let find = |names: &[&str]| ClaimPath::new(names).unwrap().find(&claims).cloned();
        assert_eq!(find(&["a", "b", "c"]), Some(Json::Number(1.into())));
        assert_eq!(find(&["a.b"]), Some(Json::Number(2.into())));
        assert_eq!(find(&["n"]), Some(Json::Null));
        for nowhere in [&["a", "c"][..], &["a", "b", "c", "d"], &["l", "c"], &["l", "0"], &["n", "x"], &["x"]]
        {
            assert_eq!(find(nowhere), None, "{nowhere:?}");
        }
    }

    #[test]
    fn a_path_is_shown_with_dots() {
        assert_eq!(ClaimPath::new(&["realm_access", "roles"]).unwrap().to_string(), "realm_access.roles");
    }
}
