//! Mutations of JSON that leave it JSON: values and members are replaced, removed, copied, wrapped and renamed.

use serde_json::{Value, json};

use crate::random::Choices;

/// A JSON text with up to three changes, or `None` where the text is none or libFuzzer is to have its turn. `words` are the names
/// and values that mean something.
pub(crate) fn mutate(text: &[u8], seed: u32, words: &[&str]) -> Option<Vec<u8>> {
    let mut choices = Choices::new(seed, text);
    if choices.below(4) == 0 {
        return None;
    }
    let mut root: Value = serde_json::from_slice(text).ok()?;
    for _ in 0..=choices.below(3) {
        let donor = any(&mut root, &mut choices).clone();
        change(&mut root, donor, &mut choices, words);
    }
    serde_json::to_vec(&root).ok()
}

/// Any value of a document, itself included.
pub(crate) fn any<'v>(root: &'v mut Value, choices: &mut Choices) -> &'v mut Value {
    let index = choices.below(count(root));
    let path = path_of(root, index);
    path.iter().fold(root, |value, step| match value {
        Value::Array(items) => &mut items[*step],
        Value::Object(members) => members.values_mut().nth(*step).unwrap(),
        leaf => leaf,
    })
}

fn change(root: &mut Value, donor: Value, choices: &mut Choices, words: &[&str]) {
    let place = any(root, choices);
    let word = choices.one_of(words);
    match choices.below(8) {
        0 => *place = odd(choices),
        1 => *place = json!(word),
        2 if count(&donor) < 200 => *place = donor,
        3 | 4 => match place {
            Value::Object(members) => change_members(members, donor, choices, word),
            Value::Array(items) => change_items(items, donor, choices),
            Value::String(text) => change_text(text, choices, word),
            Value::Number(_) => {
                let shift = choices.below(64);
                *place = json!((choices.number() as i64) >> shift);
            }
            other => *other = json!(word),
        },
        5 => {
            let inner = place.take();
            *place = if choices.below(2) == 0 { json!([inner]) } else { json!({ word: inner }) };
        }
        _ => match place {
            Value::Object(members) => drop(members.insert(word.to_owned(), odd(choices))),
            other => *other = json!(word),
        },
    }
}

fn change_members(
    members: &mut serde_json::Map<String, Value>,
    donor: Value,
    choices: &mut Choices,
    word: &str,
) {
    let names: Vec<String> = members.keys().cloned().collect();
    match choices.below(3) {
        0 if !names.is_empty() => drop(members.remove(&names[choices.below(names.len())])),
        1 if !names.is_empty() => {
            let value = members.remove(&names[choices.below(names.len())]).unwrap_or_default();
            members.insert(word.to_owned(), value);
        }
        _ => drop(members.insert(word.to_owned(), donor)),
    }
}

fn change_items(items: &mut Vec<Value>, donor: Value, choices: &mut Choices) {
    let index = choices.below(items.len());
    match choices.below(3) {
        0 if !items.is_empty() => drop(items.remove(index)),
        1 if !items.is_empty() && items.len() < 80 => items.push(items[index].clone()),
        _ => items.push(donor),
    }
}

fn change_text(text: &mut String, choices: &mut Choices, word: &str) {
    let wanted = choices.below(text.len() + 1);
    let place = (0..=wanted).rev().find(|place| text.is_char_boundary(*place)).unwrap_or_default();
    match choices.below(4) {
        0 => text.insert_str(place, word),
        1 => text.truncate(place),
        2 => text.insert(place, char::from(choices.below(128) as u8)),
        _ if place < text.len() => drop(text.remove(place)),
        _ => {}
    }
}

fn odd(choices: &mut Choices) -> Value {
    serde_json::from_str(choices.one_of(ODD)).unwrap()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum(),
        _ => 0,
    }
}

/// The steps to the `index`-th value, parents before children.
fn path_of(root: &Value, mut index: usize) -> Vec<usize> {
    let mut path = Vec::new();
    let mut value = root;
    while index > 0 {
        index -= 1;
        let children: Vec<&Value> = match value {
            Value::Array(items) => items.iter().collect(),
            Value::Object(members) => members.values().collect(),
            _ => return path,
        };
        for (step, child) in children.into_iter().enumerate() {
            let size = count(child);
            if index < size {
                path.push(step);
                value = child;
                break;
            }
            index -= size;
        }
    }
    path
}

/// Values at which readers go wrong.
const ODD: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "2",
    "65",
    "1e308",
    "1e-300",
    "9007199254740993",
    "18446744073709551615",
    "-9223372036854775808",
    "0.5",
    "1.0",
    r#""""#,
    r#""a""#,
    r#"" ""#,
    r#""\u0000""#,
    r#""\ud83d\ude00""#,
    "[]",
    "{}",
    "[[]]",
    r#""5s""#,
    r#""0s""#,
    r#""1ms""#,
    r#""99999999999999999999h""#,
    r#""{x}""#,
    r#""*""#,
    r#""*.x""#,
    r#""/""#,
    r#""//""#,
    r#""/{a}/b""#,
    r#""https://[::1]:65536/""#,
    r#""https://h""#,
    r#""any""#,
    r#""off""#,
    r#""process""#,
    "1800000000",
    "1800003600.5",
    "1e11",
    "253402300800",
    "-62135596800",
    "[null]",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_is_json_and_most_differ() {
        let text = br#"{"a":[1,"x",{"b":null}],"c":"\u00e9"}"#;
        let mutants: Vec<_> = (0..1000).filter_map(|seed| mutate(text, seed, &["w", "v"])).collect();
        assert!(mutants.len() > 500, "{} mutants", mutants.len());
        assert!(mutants.iter().all(|mutant| serde_json::from_slice::<Value>(mutant).is_ok()));
        let distinct: std::collections::BTreeSet<_> = mutants.iter().collect();
        assert!(distinct.len() > 100, "{} distinct mutants", distinct.len());
    }

    #[test]
    fn every_value_of_a_document_can_be_chosen() {
        let root = json!({ "a": [1, { "b": 2 }], "c": 3 });
        let paths: Vec<_> = (0..count(&root)).map(|index| path_of(&root, index)).collect();
        let expected: [&[usize]; 6] = [&[], &[0], &[0, 0], &[0, 1], &[0, 1, 0], &[1]];
        assert_eq!(paths, expected);
    }
}
