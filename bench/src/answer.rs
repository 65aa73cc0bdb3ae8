//! What counts of an HTTP/1.1 answer: its status and where it ends.

use anyhow::{Context, Result, bail};

/// A whole answer at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Its head and body together.
    pub(crate) length: usize,
}

impl Answer {
    /// Reads an answer; none until it is whole.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = head_length(bytes) else { return Ok(None) };
        let head = &bytes[..end];
        let status = head.get(9..12).filter(|_| head.starts_with(b"HTTP/1.1 "));
        let status =
            status.and_then(number).with_context(|| format!("no HTTP/1.1 answer: {}", text(head)))?;
        let Some(body) = field(head, b"content-length:").and_then(number) else {
            bail!("an answer without content-length: {}", text(head));
        };
        let status = u16::try_from(status).context("a status beyond 65,535")?;
        let length = end + body;
        Ok((bytes.len() >= length).then_some(Self { status, length }))
    }
}

/// How long the head is, with the empty line.
fn head_length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn field<'h>(head: &'h [u8], name: &[u8]) -> Option<&'h [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let line =
        lines.find(|line| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))?;
    Some(line[name.len()..].trim_ascii())
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &[u8] =
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\nx-echo: a b\r\n\r\nno\nHTTP/1.1 200 OK\r\n";

    #[test]
    fn an_answer_ends_where_its_body_does() {
        let whole = ANSWER.len() - b"HTTP/1.1 200 OK\r\n".len();
        assert_eq!(Answer::parse(ANSWER).unwrap(), Some(Answer { status: 401, length: whole }));
        for short in 0..whole {
            assert_eq!(Answer::parse(&ANSWER[..short]).unwrap(), None);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for bytes in
            [&b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n"[..], b"\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]
        {
            assert!(Answer::parse(bytes).is_err(), "{}", text(bytes));
        }
    }
}
