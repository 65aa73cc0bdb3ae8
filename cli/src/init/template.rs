//! Texts with places to fill: `@name@`.

/// Fills the places of a template, in one pass: what a value holds is no place. A value is put in as it is: [`quoted`]
/// makes a text of the user's safe.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once('@') {
        filled.push_str(before);
        let place = values.iter().find_map(|(name, value)| {
            let behind = behind.strip_prefix(name)?.strip_prefix('@')?;
            Some((value, behind))
        });
        rest = match place {
            Some((value, behind)) => {
                filled.push_str(value);
                behind
            }
            None => {
                filled.push('@');
                behind
            }
        };
    }
    filled.push_str(rest);
    filled
}

/// A text as YAML has it, whatever it holds: plain where that is safe, else in the quotes of JSON.
pub(crate) fn quoted(text: &str) -> String {
    let starts_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '.');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let is_safe = starts_plain && text.chars().all(is_plain) && !text.ends_with(':') && !is_word;
    // A dot may begin a number.
    if is_safe && !text.starts_with('.') {
        text.to_owned()
    } else {
        serde_json::Value::from(text).to_string()
    }
}

/// Values as the items of a list.
pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    items.into_iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_a_place() {
        let values = [("a", "@b@"), ("b", "2")];
        assert_eq!(fill("\"@type\": @a@, @b@, @c@", &values), "\"@type\": @b@, 2, @c@");
    }

    #[test]
    fn no_text_becomes_more_than_a_text() {
        let texts = [
            "https://a.example/x",
            "/orders/{id}",
            "true",
            "No",
            "1.5",
            ".5",
            "a: b",
            "a #b",
            "a\nb: c",
            "a:",
            "",
            "\"",
            "@wasm@",
            "orders:read",
            "~",
            "GET",
        ];
        for text in texts {
            let read: Vec<String> = serde_saphyr::from_str(&format!("[{}]", quoted(text))).unwrap();
            assert_eq!(read, [text]);
        }
    }
}
