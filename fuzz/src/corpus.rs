//! Kept corpora: one text file a target, one input a line, in the escapes of a Rust byte string where it is no visible
//! ASCII. So they can be read, reviewed and
//! compared, and the tests have them built in, natively and in V8. A line that begins with `#` is a comment.

use crate::Target;

/// The kept inputs of a target.
///
/// # Panics
/// When a line is not written as [`line()`] writes it.
pub fn inputs(target: &Target) -> Vec<Vec<u8>> {
    let lines = target.corpus.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| parse(line).unwrap_or_else(|| panic!("{}: a line that is no input: {line}", target.name)))
        .collect()
}

/// What of a corpus was kept by hand, each input below a comment that says why: all before the line [`FOUND`].
pub fn by_hand(corpus: &str) -> &str {
    corpus.find(FOUND).map_or(corpus, |end| &corpus[..end])
}

/// An input as a line, without its end.
pub fn line(input: &[u8]) -> String {
    let mut line = String::with_capacity(input.len());
    for (index, byte) in input.iter().enumerate() {
        match byte {
            0 => line.push_str("\\0"),
            b'\n' => line.push_str("\\n"),
            b'\\' => line.push_str("\\\\"),
            // What begins a comment.
            b'#' if index == 0 => line.push_str("\\x23"),
            b' '..=b'~' => line.push(char::from(*byte)),
            byte => line.push_str(&format!("\\x{byte:02x}")),
        }
    }
    line
}

fn parse(line: &str) -> Option<Vec<u8>> {
    let mut input = Vec::with_capacity(line.len());
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        input.push(match byte {
            b'\\' => match bytes.next()? {
                b'0' => 0,
                b'n' => b'\n',
                b'x' => {
                    let digits = [bytes.next()?, bytes.next()?];
                    u8::from_str_radix(core::str::from_utf8(&digits).ok()?, 16).ok()?
                }
                b'\\' => b'\\',
                _ => return None,
            },
            byte => byte,
        });
    }
    Some(input)
}

/// The line after which stands what fuzzing has found: the least that reaches what all of it reached.
pub const FOUND: &str = "# Found by fuzzing.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_survives_its_line() {
        let all: Vec<u8> = (0..=u8::MAX).collect();
        for input in [&all[..], b"", b"# no comment", b"\\x41\n\"'"] {
            let line = line(input);
            assert!(!line.starts_with('#') && line.is_ascii() && !line.contains('\n'), "{line}");
            assert_eq!(parse(&line).as_deref(), Some(input));
        }
        assert_eq!([parse("\\"), parse("\\x4"), parse("\\q")], [None, None, None]);
    }
}
