//! The formats of private keys, written by hand: what reads them is under test.

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};
use serde_json::{Value, json};

/// A key by its numbers, big-endian, each with its name in a JSON Web Key.
pub(super) enum Key {
    Rsa(Vec<(&'static str, Vec<u8>)>),
    Elliptic(Curve, Vec<(&'static str, Vec<u8>)>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    Ed25519,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// RFC 7517.
    Jwk,
    /// RFC 5958, with the public half where it has a place for it.
    Pkcs8,
    /// PKCS#1 or SEC 1; PKCS#8 for Ed25519, which has none of its own.
    Own,
    /// The same without the public half, where that may be left out.
    OwnWithoutPublic,
}

impl Key {
    /// One of its numbers, counted round and round.
    pub(super) fn number_mut(&mut self, index: u8) -> &mut Vec<u8> {
        let (Self::Rsa(numbers) | Self::Elliptic(_, numbers)) = self;
        let index = usize::from(index) % numbers.len();
        &mut numbers[index].1
    }

    /// Whether both halves are there, so that a number which is changed contradicts another.
    pub(super) fn tells_twice(&self, format: Format) -> bool {
        matches!(self, Self::Rsa(_)) || format != Format::OwnWithoutPublic
    }

    pub(super) fn text(&self, format: Format) -> String {
        match (self, format) {
            (Self::Rsa(numbers), Format::Jwk) => jwk(json!({ "kty": "RSA" }), numbers),
            (Self::Elliptic(Curve::P256, numbers), Format::Jwk) => {
                jwk(json!({ "kty": "EC", "crv": "P-256" }), numbers)
            }
            (Self::Elliptic(Curve::Ed25519, numbers), Format::Jwk) => {
                jwk(json!({ "kty": "OKP", "crv": "Ed25519" }), numbers)
            }
            (Self::Rsa(numbers), Format::Pkcs8) => pem("PRIVATE KEY", &pkcs8(RSA, &pkcs1(numbers), &[])),
            (Self::Rsa(numbers), Format::Own | Format::OwnWithoutPublic) => {
                pem("RSA PRIVATE KEY", &pkcs1(numbers))
            }
            (Self::Elliptic(Curve::P256, numbers), Format::Pkcs8) => {
                pem("PRIVATE KEY", &pkcs8(P256, &sec1(numbers, false, true), &[]))
            }
            (Self::Elliptic(Curve::P256, numbers), format) => {
                pem("EC PRIVATE KEY", &sec1(numbers, true, format == Format::Own))
            }
            (Self::Elliptic(Curve::Ed25519, numbers), format) => {
                let public = element(0x81, &[&[0], &numbers[1].1]);
                let public = if format == Format::OwnWithoutPublic { &[][..] } else { &public };
                pem("PRIVATE KEY", &pkcs8(ED25519, &element(OCTET_STRING, &[&numbers[0].1]), public))
            }
        }
    }
}

/// RFC 7468.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", Base64::encode_string(der))
}

fn jwk(mut jwk: Value, numbers: &[(&'static str, Vec<u8>)]) -> String {
    for (name, number) in numbers {
        jwk[*name] = json!(Base64UrlUnpadded::encode_string(number));
    }
    jwk.to_string()
}

/// Version 1 where it has the public half, else 0.
fn pkcs8(algorithm: &[u8], key: &[u8], public: &[u8]) -> Vec<u8> {
    let version = number(&[u8::from(!public.is_empty())]);
    element(SEQUENCE, &[&version, &element(SEQUENCE, &[algorithm]), &element(OCTET_STRING, &[key]), public])
}

/// RFC 8017 §A.1.2.
fn pkcs1(numbers: &[(&'static str, Vec<u8>)]) -> Vec<u8> {
    let numbers: Vec<Vec<u8>> = numbers.iter().map(|(_, bytes)| number(bytes)).collect();
    element(SEQUENCE, &[&number(&[0]), &numbers.concat()])
}

/// RFC 5915 §3.
fn sec1(numbers: &[(&'static str, Vec<u8>)], names_curve: bool, has_public: bool) -> Vec<u8> {
    let [(_, secret), (_, x), (_, y)] = numbers else { panic!("three numbers") };
    let curve = element(0xa0, &[&P256[9..]]);
    let point = element(0xa1, &[&element(0x03, &[&[0, 4], x, y])]);
    element(
        SEQUENCE,
        &[
            &number(&[1]),
            &element(OCTET_STRING, &[secret]),
            if names_curve { &curve } else { &[] },
            if has_public { &point } else { &[] },
        ],
    )
}

fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let [high, low] = u16::try_from(contents.len()).unwrap().to_be_bytes();
    let start = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    [start, contents].concat()
}

/// An INTEGER that is not negative.
fn number(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count().min(bytes.len() - 1);
    let bytes = &bytes[zeros..];
    let sign: &[u8] = if bytes[0] < 0x80 { &[] } else { &[0] };
    element(0x02, &[sign, bytes])
}

const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// rsaEncryption and NULL.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
/// id-ecPublicKey and, from the ninth byte on, the curve's name.
const P256: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
