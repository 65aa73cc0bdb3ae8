#![allow(clippy::arithmetic_side_effects, clippy::unwrap_in_result)]

use super::*;

fn error(text: &str) -> JsonError {
    Object::parse(text.as_bytes()).unwrap_err()
}

#[test]
fn an_object_keeps_its_members_and_their_order() {
    let object = Object::parse(br#" {"b":[1,-2,0.5,null],"a":{"x":true},"":"\u00e9"} "#).unwrap();
    let names: Vec<_> = object.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "a", ""]);
    assert_eq!(object.get("b").unwrap().as_array().unwrap().len(), 4);
    assert_eq!(object.get("a").unwrap().as_object().unwrap().get("x"), Some(&Json::Bool(true)));
    assert_eq!(object.get("").unwrap().as_str(), Some("é"));
    assert_eq!(object.get("c"), None);
}

#[test]
fn a_repeated_member_is_refused_at_any_depth_and_in_any_spelling() {
    assert_eq!(error(r#"{"a":1,"a":1}"#), JsonError::DuplicateMember);
    assert_eq!(error(r#"{"a":1,"\u0061":1}"#), JsonError::DuplicateMember);
    assert_eq!(error(r#"{"x":[{"y":{"a":1,"b":2,"a":3}}]}"#), JsonError::DuplicateMember);
}

#[test]
fn a_repeated_member_is_found_among_many_wherever_it_stands() {
    let text = |names: &[usize]| {
        let members: Vec<_> =
            names.iter().map(|name| format!(r#""m{:03}":{name}"#, name * 37 % 250)).collect();
        format!("{{{}}}", members.join(","))
    };
    let names: Vec<usize> = (0..MAX_JSON_MEMBERS - 6).collect();
    let all = text(&names);
    let object = Object::parse(all.as_bytes()).unwrap();
    assert_eq!(object.len(), names.len());
    assert!(names.iter().all(|name| object.get(&format!("m{name:03}")).is_some()));
    for (first, second) in [(0, 1), (0, 249), (15, 16), (14, 15), (3, 17), (16, 17), (100, 200), (248, 249)] {
        let mut twice = names.clone();
        twice[second] = first;
        assert_eq!(error(&text(&twice)), JsonError::DuplicateMember, "{first} again at {second}");
    }
}

#[test]
fn many_members_are_not_compared_each_with_each() {
    let comparisons = Cell::new(0);
    let counted = |place: usize| Counted { name: place * 37 % MAX_JSON_MEMBERS, comparisons: &comparisons };
    let mut sorted = SortedNames::default();
    for count in FEW_MEMBERS..MAX_JSON_MEMBERS {
        assert!(sorted.add(count, counted, &counted(count)));
    }
    assert!(!sorted.add(MAX_JSON_MEMBERS, counted, &counted(FEW_MEMBERS)));
    let pairwise = FEW_MEMBERS * (FEW_MEMBERS - 1) / 2;
    // n log n is 2,048, and each with each would be 32,640.
    assert!(pairwise + comparisons.get() < 3_000, "{pairwise} and {}", comparisons.get());
}

/// A name that counts its comparisons.
struct Counted<'c> {
    name: usize,
    comparisons: &'c Cell<usize>,
}

impl Ord for Counted<'_> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.comparisons.set(self.comparisons.get() + 1);
        self.name.cmp(&other.name)
    }
}

impl PartialOrd for Counted<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Counted<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Counted<'_> {}

#[test]
fn depth_is_bounded_at_its_limit() {
    let nested = |depth: usize| {
        let inner = depth - 1;
        format!(r#"{{"a":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
    };
    assert!(Object::parse(nested(MAX_JSON_DEPTH).as_bytes()).is_ok());
    assert_eq!(error(&nested(MAX_JSON_DEPTH + 1)), JsonError::TooDeep);
    assert_eq!(error(&nested(100_000)), JsonError::TooDeep);
    assert_eq!(error(&r#"{"a":"#.repeat(100_000)), JsonError::TooDeep);
}

#[test]
fn members_are_bounded_at_their_limit() {
    let members = |count: usize| {
        let list: Vec<_> = (0..count).map(|n| format!(r#""{n}":0"#)).collect();
        format!("{{{}}}", list.join(","))
    };
    assert!(Object::parse(members(MAX_JSON_MEMBERS).as_bytes()).is_ok());
    assert_eq!(error(&members(MAX_JSON_MEMBERS + 1)), JsonError::TooManyMembers);
}

#[test]
fn values_are_bounded_at_their_limit() {
    // The object and the array are values too.
    let values = |count: usize| format!(r#"{{"a":[0{}]}}"#, ",0".repeat(count - 3));
    assert!(Object::parse(values(MAX_JSON_VALUES).as_bytes()).is_ok());
    assert_eq!(error(&values(MAX_JSON_VALUES + 1)), JsonError::TooManyValues);
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(error("[]"), JsonError::NotAnObject);
    assert_eq!(error("null"), JsonError::NotAnObject);
    assert_eq!(error("{} {}"), JsonError::TrailingData);
    assert_eq!(error("{}\0"), JsonError::TrailingData);
    assert_eq!(error(""), JsonError::Syntax { line: 1, column: 0 });
    assert_eq!(error("{'a':1}"), JsonError::Syntax { line: 1, column: 2 });
    assert_eq!(Object::parse(b"{\"a\":\"\xff\"}"), Err(JsonError::NotUtf8));
    assert_eq!(Object::parse(b"{}\xff"), Err(JsonError::NotUtf8));
}

#[test]
fn what_serde_json_cannot_hold_is_a_syntax_error() {
    for text in [
        r#"{"a":1e999}"#,
        r#"{"a":"\ud800"}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":NaN}"#,
        r#"{"a":01}"#,
        r#"{"a":1,}"#,
    ] {
        assert!(matches!(error(text), JsonError::Syntax { .. }), "{text}");
    }
}

#[test]
fn huge_integers_become_floats_and_do_not_trap() {
    let object = Object::parse(br#"{"a":123456789012345678901234567890}"#).unwrap();
    assert_eq!(object.get("a").unwrap().as_number().unwrap().as_f64(), Some(1.2345678901234568e29));
}

#[test]
fn every_error_says_what_is_wrong() {
    let texts = [
        (JsonError::NotUtf8, "not UTF-8"),
        (JsonError::Syntax { line: 1, column: 2 }, "not JSON at line 1, column 2"),
        (JsonError::TrailingData, "trailing characters"),
        (JsonError::NotAnObject, "not an object"),
        (JsonError::DuplicateMember, "duplicate member"),
        (JsonError::TooDeep, "nested deeper than 16 levels"),
        (JsonError::TooManyMembers, "an object has more than 256 members"),
        (JsonError::TooManyValues, "more than 8192 values"),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}
