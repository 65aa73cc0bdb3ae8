use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use attache_harness::issuer::{Algorithm, TokenSpec};
use attache_harness::upstream::Echo;
use base64ct::{Base64UrlUnpadded, Encoding};
use serde_json::{Value, json};

use crate::proxy::{
    Document, Listener, Proxy, Setup, Shared, Visit, echo, inbound, issuer, trust, verdict, visit,
};
use crate::raw;
use crate::secrets::{scoped, token};

static PROXY: Shared = Shared::new(|| {
    let sources = json!([
        { "header": { "name": "authorization", "scheme": "Bearer" } },
        { "header": { "name": "x-token" } },
        { "query": { "name": "access_token" } },
        { "cookie": { "name": "token" } },
    ]);
    let routes = [
        json!({ "name": "hostile-public", "match": { "prefix": "/public" }, "public": {} }),
        json!({ "name": "hostile-reported", "match": { "prefix": "/reported" }, "require": { "scopes": ["orders:read"] }, "mode": "report_only" }),
        json!({ "name": "hostile-orders", "match": { "prefix": "/orders" }, "require": { "scopes": ["orders:read"] } }),
        json!({ "name": "hostile-template", "match": { "path": "/a/{b}/{c}/d" }, "require": { "scopes": ["orders:read"] } }),
    ];
    let more = json!({
        "denials": { "body": "problem_json" },
        "token": { "sources": sources, "after_verification": "strip" },
        "forward_claims": [{ "claim": "sub", "header": "x-sub" }, { "claim": ["a", "b"], "header": "x-ab" }],
        "resource": { "identifier": "https://orders.example" },
        "cors_preflight": "forward",
    });
    let document = Document::Struct(inbound(&[trust("corp", json!({}))], &routes, more));
    let limits = json!({ "common_http_protocol_options": { "max_headers_count": 2000 } });
    Setup::new()
        .with_issuer("corp", issuer("corp", &[Algorithm::Rs256]))
        .listener(Listener::new("hostile", document).manager(limits))
        .start()
});

#[test]
fn header_bytes_that_are_no_utf8_trap_nothing() {
    let proxy = enter();
    let good = bearer(&proxy);
    let addr = proxy.addr("hostile");
    for value in [&b"\xff\xfe"[..], b"\xc3\x28", b"\xed\xa0\x80", b"caf\xe9", b"\x80"] {
        for name in ["x-anything", "x-sub", "cookie", "user-agent", "origin", "x-mark"] {
            let line = [name.as_bytes(), b": ", value].concat();
            let answer = raw::get(addr, "/orders", &[&good, &line]);
            assert_eq!(answer.status, 200, "{name} {value:?} {answer:?}");
            assert_eq!(Echo::parse(&answer.body).unwrap().header("x-sub"), Some("orders-service"));
        }
        for line in [&b"authorization: Bearer "[..], b"authorization: ", b"x-token: ", b"cookie: token="] {
            let line = [line, value].concat();
            let answer = raw::get(addr, "/orders", &[&line]);
            // Bytes before a scheme are no credential of ours; bytes in place of the token are a bad one.
            let expected =
                if line.starts_with(b"authorization: ") && !line.contains(&b'B') { 401 } else { 400 };
            assert_eq!(answer.status, expected, "{:?} {answer:?}", String::from_utf8_lossy(&line));
        }
        // Envoy's parser refuses such a name; if it did not, it would be a name of no header of ours.
        let name = [value, b": x"].concat();
        let answer = raw::get(addr, "/orders", &[&good, &name]);
        assert!([200, 400].contains(&answer.status), "{answer:?}");
    }
    assert_serves(&proxy);
}

#[test]
fn sixty_kilobytes_of_headers_are_read() {
    let proxy = enter();
    let good = bearer(&proxy);
    let long = [&b"x-long: "[..], &[b'x'; 58_000]].concat();
    assert_eq!(raw::get(proxy.addr("hostile"), "/orders", &[&good, &long]).status, 200);
    let longer = [&b"x-long: "[..], &[b'x'; 70_000]].concat();
    assert_eq!(
        raw::get(proxy.addr("hostile"), "/orders", &[&good, &longer]).status,
        431,
        "Envoy's own limit"
    );
    for line in [&b"authorization: Bearer "[..], b"x-token: ", b"cookie: token="] {
        let answer = raw::get(proxy.addr("hostile"), "/orders", &[&[line, &[b'a'; 58_000]].concat()]);
        assert_eq!((answer.status, &answer.json()["reason"]), (401, &json!("token_too_long")));
    }
    let cookies = format!("cookie: {}", "a=b;".repeat(14_000));
    assert_eq!(raw::get(proxy.addr("hostile"), "/orders", &[cookies.as_bytes()]).status, 401);
    let query = format!("/orders?{}", "a=b&".repeat(14_000));
    assert_eq!(raw::get(proxy.addr("hostile"), &query, &[&good]).status, 200);
    let path = format!("/orders{}", "/x".repeat(25_000));
    assert_eq!(raw::get(proxy.addr("hostile"), &path, &[&good]).status, 400);
    assert_serves(&proxy);
}

#[test]
fn hundreds_of_headers_are_read() {
    let proxy = enter();
    let good = bearer(&proxy);
    let lines: Vec<Vec<u8>> = (0..1500).map(|n| format!("x-h-{n}: {n}").into_bytes()).collect();
    let mut headers: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
    headers.push(&good);
    assert_eq!(raw::get(proxy.addr("hostile"), "/orders", &headers).status, 200);
    let twins: Vec<&[u8]> = vec![b"x_sub: forged"; 1500];
    assert_eq!(raw::get(proxy.addr("hostile"), "/orders", &twins).status, 400);
    let reported = raw::get(proxy.addr("hostile"), "/reported", &twins);
    assert_eq!(Echo::parse(&reported.body).unwrap().header_values("x_sub").count(), 0);
    let forged: Vec<&[u8]> = vec![b"x-sub: forged"; 1500];
    let public = raw::get(proxy.addr("hostile"), "/public", &forged);
    assert_eq!(Echo::parse(&public.body).unwrap().header_values("x-sub").count(), 0);
    assert_serves(&proxy);
}

#[test]
fn repeated_credentials_are_refused_however_many() {
    let proxy = enter();
    let good = bearer(&proxy);
    let plain = [&b"x-token: "[..], &good[b"authorization: Bearer ".len()..]].concat();
    for count in [2, 3, 50] {
        // Envoy joins the first into one field; the second it leaves apart.
        for (line, reason) in [(&good, "credential_repeated"), (&plain, "credential_repeated")] {
            let headers: Vec<&[u8]> = vec![line; count];
            let answer = raw::get(proxy.addr("hostile"), "/orders", &headers);
            assert_eq!((answer.status, &answer.json()["reason"]), (400, &json!(reason)), "{count}");
        }
    }
    let two = [&good[..], b", ", &good[b"authorization: ".len()..]].concat();
    assert_eq!(raw::get(proxy.addr("hostile"), "/orders", &[&two]).status, 400);
}

#[test]
fn a_token_of_sixteen_kibibytes_is_read_and_one_byte_more_is_not() {
    let proxy = enter();
    // The filler grows by three bytes for four of the token, so find the largest that fits, and a smallest that does not.
    let of = |filler: usize| {
        token(proxy.issuer("corp"), &TokenSpec::scoped("orders:read").claim("filler", "f".repeat(filler)))
    };
    let base = of(0).len();
    let room = (16 * 1024 - base) / 4 * 3;
    let lengths: Vec<(usize, String)> =
        (room - 3..room + 6).map(of).map(|token| (token.len(), token)).collect();
    let fits = lengths.iter().filter(|(length, _)| *length <= 16 * 1024).max().unwrap();
    let exceeds = lengths.iter().filter(|(length, _)| *length > 16 * 1024).min().unwrap();
    assert!(fits.0 > 16 * 1024 - 4 && exceeds.0 < 16 * 1024 + 4, "{} {}", fits.0, exceeds.0);
    let ask = |token: &str| verdict(&proxy.get("hostile", "/orders").bearer(token).send().unwrap());
    assert_eq!(ask(&fits.1), (200, "forwarded".into()));
    assert_eq!(ask(&exceeds.1), (401, "token_too_long".into()));
    assert_eq!(ask(&"a".repeat(16 * 1024 + 1)), (401, "token_too_long".into()));
}

#[test]
fn claims_that_would_break_a_naive_parser_are_refused() {
    let proxy = enter();
    let good = token(proxy.issuer("corp"), &TokenSpec::scoped("orders:read"));
    let claims =
        String::from_utf8(Base64UrlUnpadded::decode_vec(good.split('.').nth(1).unwrap()).unwrap()).unwrap();
    let with = |member: &str| claims.replacen('{', &format!("{{{member},"), 1);
    let without_exp = {
        let mut claims: Value = serde_json::from_str(&claims).unwrap();
        claims.as_object_mut().unwrap().remove("exp");
        claims.to_string()
    };
    let exp = |number: &str| without_exp.replacen('{', &format!("{{\"exp\":{number},"), 1);
    let digits = "9".repeat(2000);
    for (what, claims, expected) in [
        ("deep lists", with(&format!("\"x\":{}{}", "[".repeat(5000), "]".repeat(5000))), (401, "token_json")),
        (
            "deep objects",
            with(&format!("\"x\":{}1{}", "{\"a\":".repeat(1500), "}".repeat(1500))),
            (401, "token_json"),
        ),
        ("open lists", format!("{{\"x\":{}", "[".repeat(10_000)), (401, "token_json")),
        (
            "thousands of members",
            with(&(0..1000).map(|n| format!("\"m{n}\":0")).collect::<Vec<_>>().join(",")),
            (401, "token_json"),
        ),
        (
            "thousands of scopes",
            with(&format!("\"scp\":[{}]", vec!["\"s\""; 2000].join(","))),
            (401, "too_many_scopes"),
        ),
        ("half a surrogate", with("\"x\":\"\\ud800\""), (401, "token_json")),
        ("a zero in a name", with("\"\\u0000exp\":0"), (200, "forwarded")),
        ("exp of -1e308", exp("-1e308"), (401, "expired")),
        ("exp of -0", exp("-0"), (401, "expired")),
        ("exp of 1e-400", exp("1e-400"), (401, "expired")),
        ("exp of minus 2^63", exp("-9223372036854775808"), (401, "expired")),
        ("exp of NaN", exp("NaN"), (401, "token_json")),
        ("exp of 01", exp("01"), (401, "token_json")),
        ("exp in hexadecimal", exp("0x7fffffff"), (401, "token_json")),
        ("nbf of 1e308", with("\"x\":0").replace("\"nbf\":", "\"nbf\":1e308,\"y\":"), (401, "not_yet_valid")),
        (
            "iat of 1e308",
            with("\"x\":0").replace("\"iat\":", "\"iat\":1e308,\"y\":"),
            (401, "issued_in_future"),
        ),
        ("no claims", "{}".to_owned(), (401, "issuer_unknown")),
        ("nothing", String::new(), (401, "token_empty_part")),
        ("null", "null".to_owned(), (401, "token_json")),
    ] {
        let token = token(proxy.issuer("corp"), &TokenSpec::default().raw_claims(claims));
        let got = verdict(&proxy.get("hostile", "/orders").bearer(&token).send().unwrap());
        assert_eq!((got.0, got.1.as_str()), expected, "{what}");
    }
    // Dates that no calendar and numbers that no double holds: refused or taken for very far away, never a trap.
    for number in [
        "18446744073709551615",
        "18446744073709551616",
        "1e300",
        "1e308",
        "1e400",
        "-1e400",
        &digits,
        &format!("-{digits}"),
        &format!("0.{digits}"),
        &format!("1e{digits}"),
    ] {
        let token = token(proxy.issuer("corp"), &TokenSpec::default().raw_claims(exp(number)));
        let status = proxy.get("hostile", "/orders").bearer(&token).send().unwrap().status;
        assert!([200, 401].contains(&status), "{number}: {status}");
    }
    let not_utf8 = format!(
        "{}.{}.{}",
        good.split('.').next().unwrap(),
        Base64UrlUnpadded::encode_string(b"{\"iss\":\"\xff\"}"),
        "AAAA"
    );
    assert_eq!(
        verdict(&proxy.get("hostile", "/orders").bearer(&not_utf8).send().unwrap()),
        (401, "token_json".into())
    );
    assert_serves(&proxy);
}

#[test]
fn random_requests_trap_nothing_and_none_gets_through() {
    let proxy = enter();
    let addr = proxy.addr("hostile");
    let good = token(proxy.issuer("corp"), &TokenSpec::scoped("orders:read"));
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    eprintln!("seed {seed}: {REQUESTS} requests");
    let forwarded = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (good, forwarded) = (&good, &forwarded);
            scope.spawn(move || {
                let mut random = Random(seed.wrapping_add(thread).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
                for _ in 0..REQUESTS / THREADS {
                    let request = random.request(good);
                    let answer = raw::exchange_within(addr, &request, Duration::from_secs(1));
                    // A preflight passes without a token, as configured.
                    let is_preflight = request.starts_with(b"OPTIONS ");
                    if !is_preflight && answer.header("x-envoy-upstream-service-time").is_some() {
                        eprintln!("forwarded: {}", String::from_utf8_lossy(&request));
                        forwarded.fetch_add(1, Ordering::Relaxed);
                    }
                    assert!(
                        answer.status != 500 && answer.status != 503,
                        "{answer:?}\n{}",
                        String::from_utf8_lossy(&request)
                    );
                }
            });
        }
    });
    assert_eq!(forwarded.into_inner(), 0, "no random request has a good token");
    assert_serves(&proxy);
}

/// Enough to meet every branch of a request's way many times.
const REQUESTS: u64 = 4_000;
const THREADS: u64 = 16;

/// xorshift64*: the same seed makes the same requests again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn of<'a>(&mut self, items: &[&'a [u8]]) -> &'a [u8] {
        items[self.below(items.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let kind = self.below(3);
        let length = self.below(most + 1);
        (0..length)
            .map(|_| match (kind, self.next()) {
                (0, random) => b'!' + (random % 94) as u8,
                (1, random) => b"abcXYZ019-_.~+/=;%2f\\?&#,\" "[(random % 28) as usize % 27],
                (_, random) => random as u8,
            })
            .filter(|byte| !b"\r\n\0".contains(byte))
            .collect()
    }

    /// A request that is well-formed enough to reach the filter, mostly, and never carries a good token.
    fn request(&mut self, good: &str) -> Vec<u8> {
        let method = self.of(&[b"GET", b"POST", b"OPTIONS", b"HEAD", b"DELETE", b"BREW"]).to_vec();
        let mut request = method;
        request.extend_from_slice(b" /orders");
        for _ in 0..self.below(4) {
            let piece = self.of(&[
                b"/",
                b"//",
                b"..",
                b"%2e",
                b"%2F",
                b";",
                b"%",
                b"?",
                b"&",
                b"access_token=",
                b"{b}",
                b"%00",
                b"a",
            ]);
            request.extend_from_slice(piece);
            let bytes: Vec<u8> = self.bytes(12).into_iter().filter(|byte| *byte != b' ').collect();
            request.extend_from_slice(&bytes);
        }
        request.extend_from_slice(b" HTTP/1.1\r\nhost: orders.example\r\nconnection: close\r\n");
        for _ in 0..self.below(6) {
            let name = self.of(&[
                b"authorization: Bearer ",
                b"authorization: ",
                b"x-token: ",
                b"cookie: token=",
                b"cookie: ",
                b"x-sub: ",
                b"x_sub: ",
                b"origin: ",
                b"access-control-request-method: ",
                b"x-forwarded-for: ",
                b"te: ",
                b"x-envoy-original-path: ",
            ]);
            request.extend_from_slice(name);
            let value = if self.below(2) == 0 { self.bytes(60) } else { self.broken(good) };
            request.extend_from_slice(&value);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        request
    }

    /// A good token with something wrong in its header, its claims or its shape.
    fn broken(&mut self, good: &str) -> Vec<u8> {
        let mut parts: Vec<Vec<u8>> =
            good.split('.').map(|part| Base64UrlUnpadded::decode_vec(part).unwrap()).collect();
        let part = self.below(3);
        for _ in 0..=self.below(3) {
            let at = self.below(parts[part].len());
            let was = parts[part][at];
            while parts[part][at] == was {
                parts[part][at] = if self.below(2) == 0 {
                    self.next() as u8
                } else {
                    b"{}[]\",:0e-\\"[self.below(12) % 11]
                };
            }
            if self.below(4) == 0 {
                parts[part].truncate(at.max(1));
            }
            if parts[part].len() < 2 {
                break;
            }
        }
        let mut texts: Vec<String> =
            parts.iter().map(|part| Base64UrlUnpadded::encode_string(part)).collect();
        match self.below(8) {
            0 => texts.push(String::new()),
            1 => texts.truncate(2),
            _ => {}
        }
        let text = texts.join(".");
        // Two changes may undo each other.
        if text == good { b"a.b.c".to_vec() } else { text.into_bytes() }
    }
}

/// Whatever happened, every worker still serves.
#[track_caller]
fn assert_serves(proxy: &Proxy) {
    for _ in 0..6 {
        echo(
            &proxy
                .get("hostile", "/orders")
                .bearer(&scoped(proxy.issuer("corp"), "orders:read"))
                .send()
                .unwrap(),
        );
    }
    proxy.assert_sound();
}

fn enter() -> Visit {
    visit(&PROXY)
}

fn bearer(proxy: &Proxy) -> Vec<u8> {
    format!("authorization: Bearer {}", scoped(proxy.issuer("corp"), "orders:read")).into_bytes()
}
