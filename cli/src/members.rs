//! The members of Envoy's messages, as YAML and JSON have them: by their names, or by the same in camel case.

use attache::config::Value;

/// A member by its name, or by the same in camel case: Envoy takes both.
pub(crate) fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let is_named = |member: &str| member == name || is_camel_case_of(member, name);
    value.as_object()?.iter().find(|(member, _)| is_named(member)).map(|(_, value)| value)
}

/// A member that is a list, or nothing.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    member(value, name).and_then(Value::as_list).unwrap_or_default()
}

/// A member that is a text, or the empty one.
pub(crate) fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    member(value, name).and_then(Value::as_str).unwrap_or_default()
}

fn is_camel_case_of(member: &str, name: &str) -> bool {
    let mut words = name.split('_');
    let Some(mut rest) = words.next().and_then(|first| member.strip_prefix(first)) else { return false };
    for word in words {
        let Some((first, others)) = word.split_at_checked(1) else { return false };
        let after =
            rest.strip_prefix(&*first.to_ascii_uppercase()).and_then(|rest| rest.strip_prefix(others));
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty()
}
