//! A path and a route table: what servers disagree about is named, and the route is the one that a plain search among all routes
//! finds ([`model`]), however the path is spelled.

use attache::policy::{
    Authority, LetterCase, Mode, PathFeatures, PathPattern, Pattern, RequestAuthority, RequestPath, Route,
    RouteAudit, RouteTable, Rule, Segment, StreamEnd,
};

use crate::input::Input;

#[path = "path_model.rs"]
mod model;

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let patterns: Vec<Pattern> = (0..input.byte() % 9).map(|_| pattern(&mut input)).collect();
    let host = input.byte();
    let authority =
        if host < 0xf0 { HOSTS[usize::from(host) % HOSTS.len()].as_bytes() } else { input.text() };
    let method = input.one_of(METHODS);
    let spelling = input.text();
    let text = request_path(&mut input);
    let Some(segments) = check_path(&text) else { return };
    let path = RequestPath::parse(&text).unwrap();

    let routes =
        patterns.iter().zip(0..).map(|(pattern, number)| (pattern.clone(), route(&format!("r{number}"))));
    let Ok(table) = RouteTable::new(routes.collect(), route("default")) else { return };
    // What is no authority is refused before a route is looked for.
    let Ok(asked) = RequestAuthority::parse(authority) else {
        assert!(host >= 0xf0, "{:?} is a host", HOSTS[usize::from(host) % HOSTS.len()]);
        return;
    };
    let found = table.find(Some(&asked), &path, method.as_bytes());
    if let Some(host) = model::Host::parse(authority) {
        let expected = model::find(&patterns, &host, &segments, method);
        let is_expected = match &expected[..] {
            [] => found == table.default_id(),
            places => places.iter().any(|place| u32::try_from(*place) == Ok(found.0)),
        };
        let host = String::from_utf8_lossy(authority);
        assert!(is_expected, "{method} {host} {segments:?} finds {found:?} of {expected:?} in {patterns:#?}");
    }

    // Another spelling of the same segments: the same rule, and what is odd stays odd.
    let other = spell(&segments, spelling);
    let second = RequestPath::parse(&other).expect("another spelling can be read");
    assert!(second.segments().eq(path.segments()), "another spelling is another path");
    assert_eq!(table.find(Some(&asked), &second, method.as_bytes()), found, "two spellings, two rules");
    assert!(!is_odd(&segments) || has_feature(&second), "an odd path is plain in another spelling");
}

pub(super) fn mutate(_: &[u8], _: u32) -> Option<Vec<u8>> {
    None
}

fn pattern(input: &mut Input<'_>) -> Pattern {
    let shape = input.byte();
    let is_prefix = shape & 1 == 1;
    let segments = (0..shape >> 1 & 3).filter_map(|_| match input.byte() % 10 {
        // The configuration refuses empty segments but the last of a whole path; the table is to stand all.
        literal @ 0..8 => Some(Segment::Literal(SEGMENTS[usize::from(literal)].into())),
        _ if is_prefix => None,
        _ => Some(Segment::Variable),
    });
    let mut segments: Vec<Segment> = segments.collect();
    if segments.is_empty() && !is_prefix {
        segments.push(Segment::Literal("".into()));
    }
    let mut authorities: Vec<Authority> = Vec::new();
    for _ in 0..shape >> 3 & 3 {
        let chosen = input.byte();
        let name = |names: &[&str]| names[usize::from(chosen >> 1) % names.len()].into();
        let one =
            if chosen & 1 == 0 { Authority::Exact(name(NAMES)) } else { Authority::Suffix(name(SUFFIXES)) };
        if !authorities.contains(&one) {
            authorities.push(one);
        }
    }
    let listed = shape >> 5;
    let methods = METHODS.iter().zip(0..).filter(|(_, bit)| listed >> bit & 1 == 1);
    let methods = methods.map(|(method, _)| (*method).into()).collect();
    let path = if is_prefix { PathPattern::Prefix(segments) } else { PathPattern::Whole(segments) };
    let case = if shape & 0xe1 == 0xe1 { LetterCase::Ignored } else { LetterCase::Matters };
    Pattern { authorities, path, methods, case, mcp: None }
}

/// Segments that the routes name as well, joined as they are or escaped; then whatever follows.
fn request_path(input: &mut Input<'_>) -> Vec<u8> {
    let mut path = Vec::new();
    for _ in 0..input.byte() % 6 {
        path.push(b'/');
        let chosen = input.byte();
        let segment = SEGMENTS[usize::from(chosen) % SEGMENTS.len()];
        spell_segment(segment, &[chosen >> 3], &mut path);
    }
    let rest = input.rest();
    if path.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(rest);
    path
}

fn route(name: &str) -> Route {
    Route {
        name: name.into(),
        rule: Rule::Deny,
        mode: Mode::Enforce,
        allowed: PathFeatures::NONE,
        stream_end: StreamEnd::Never,
        audit: RouteAudit::default(),
    }
}

/// The segments, decoded by a second reader; `None` where the path is refused, or has bytes that no two readers agree about.
fn check_path(text: &[u8]) -> Option<Vec<String>> {
    let before_query = text.split(|byte| *byte == b'?').next().unwrap();
    let Ok(path) = RequestPath::parse(text) else {
        let is_bad = |byte: &u8| !byte.is_ascii_graphic() || *byte == b'#';
        let slashes = before_query.iter().filter(|byte| **byte == b'/').count();
        assert!(
            before_query.iter().any(is_bad) || slashes > RequestPath::MAX_SEGMENTS,
            "a good path is refused"
        );
        return None;
    };
    let segments: Option<Vec<String>> = before_query[1..].split(|byte| *byte == b'/').map(decode).collect();
    let Some(segments) = segments else {
        assert!(has_feature(&path), "a bad escape is no feature");
        return None;
    };
    let ours: Vec<String> = path.segments().map(|segment| segment.into_owned()).collect();
    assert_eq!(segments, ours, "decoded otherwise");
    assert!(!is_odd(&segments) || has_feature(&path), "{segments:?} is not named");
    Some(segments)
}

fn has_feature(path: &RequestPath<'_>) -> bool {
    path.features().first_not_in(PathFeatures::NONE).is_some()
}

/// What servers disagree about.
fn is_odd(segments: &[String]) -> bool {
    let odd = |c: char| c.is_ascii_control() || ['/', '\\', ';'].contains(&c);
    let is_last = |index| index + 1 == segments.len();
    segments.iter().enumerate().any(|(index, segment)| {
        segment.is_empty() && !is_last(index) || segment.contains(odd) || [".", ".."].contains(&&**segment)
    })
}

/// Percent-decoding of one's own; `None` where an escape is bad or the bytes are no UTF-8.
fn decode(segment: &[u8]) -> Option<String> {
    let mut decoded = Vec::new();
    let mut rest = segment;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        rest = after;
        let digits = str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        decoded.push(u8::from_str_radix(digits, 16).ok()?);
    }
    String::from_utf8(decoded).ok()
}

fn spell(segments: &[String], how: &[u8]) -> Vec<u8> {
    let mut path = Vec::new();
    for segment in segments {
        path.push(b'/');
        spell_segment(segment, how, &mut path);
    }
    path
}

/// Writes a segment; each byte of `how` says for one character whether it is escaped, and in which case.
fn spell_segment(segment: &str, how: &[u8], path: &mut Vec<u8>) {
    for (byte, index) in segment.bytes().zip(0..) {
        let how = how.get(index % how.len().max(1)).copied().unwrap_or_default();
        let must = !byte.is_ascii_graphic() || b"/?#%".contains(&byte);
        match (must || how & 1 == 1, how & 2 == 0) {
            (false, _) => path.push(byte),
            (true, true) => path.extend(format!("%{byte:02x}").bytes()),
            (true, false) => path.extend(format!("%{byte:02X}").bytes()),
        }
    }
}

const SEGMENTS: &[&str] = &["a", "b", "", "a b", "%2f", "admin", "\u{e9}", "a/b"];
const NAMES: &[&str] =
    &["x.example", "x.example:80", "y.example", "[::1]", "[::1]:80", "localhost", "x", "b.a.x.example"];
/// Hosts are under several of them.
const SUFFIXES: &[&str] = &[".example", ".x.example", ".a.x.example", ".c"];
const HOSTS: &[&str] = &[
    "x.example",
    "x.example:80",
    "y.example",
    "[::1]",
    "[::1]:80",
    "localhost",
    "x",
    "a.b.c",
    "x.example.",
    "x.example.:80",
    "a.x.example",
    "b.a.x.example",
    "b.a.x.example.:443",
    "X.EXAMPLE:81",
    "B.A.x.example:80",
    "c",
];
const METHODS: &[&str] = &["GET", "POST", "HEAD", "OPTIONS"];
