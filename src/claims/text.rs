use crate::jose::Json;

/// A claim as the text of one header field, or `None` when it has no such text: only visible ASCII and inner spaces, at most
/// 1,024 bytes, never empty. Numbers are whole and of 64 bits. A list of strings is joined by spaces if no element holds one; objects and `null` have no text.
pub fn header_text(claim: &Json<'_>) -> Option<String> {
    let text = match claim {
        Json::String(text) => text.to_string(),
        Json::Bool(value) => value.to_string(),
        // Other numbers have lost digits on the way: two identities could become one text.
        Json::Number(number) if number.is_u64() || number.is_i64() => number.to_string(),
        Json::Array(items) => {
            let words: Option<Vec<&str>> =
                items.iter().map(|item| item.as_str().filter(|word| !word.contains(' '))).collect();
            words?.join(" ")
        }
        Json::Null | Json::Number(_) | Json::Object(_) => return None,
    };
    let visible = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (visible && !text.is_empty() && text.len() <= MAX_HEADER_TEXT && text.trim() == text).then_some(text)
}

/// Well under what servers take for one header field (8 KB).
const MAX_HEADER_TEXT: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::Object;

    fn text(claim: &str) -> Option<String> {
        header_text(Object::parse(format!(r#"{{"c":{claim}}}"#).as_bytes()).unwrap().get("c").unwrap())
    }

    #[test]
    fn strings_numbers_booleans_and_lists_of_words_have_a_text() {
        assert_eq!(text(r#""orders service""#).as_deref(), Some("orders service"));
        assert_eq!(text("42").as_deref(), Some("42"));
        assert_eq!(text("true").as_deref(), Some("true"));
        assert_eq!(text(r#"["a","b"]"#).as_deref(), Some("a b"));
        assert_eq!(text(&format!(r#""{}""#, "a".repeat(1024))).map(|t| t.len()), Some(1024));
    }

    #[test]
    fn nothing_else_becomes_a_header() {
        let long = format!(r#""{}""#, "a".repeat(1025));
        for claim in [
            "null",
            "1.5",
            "18446744073709551616",
            "{}",
            "[]",
            r#""""#,
            r#""a\r\nb: c""#,
            r#""ä""#,
            r#"" a""#,
            r#"["a b"]"#,
            "[1]",
            &long,
        ] {
            assert_eq!(text(claim), None, "{claim}");
        }
    }
}
