//! The little of DER (X.690 §10.1) that private keys are made of. Reading them by the crates of each format would take
//! 40 KB of the module.

use zeroize::Zeroizing;

/// What is left of a text of elements.
#[derive(Clone, Copy)]
pub(super) struct Der<'d>(pub(super) &'d [u8]);

impl<'d> Der<'d> {
    /// The contents of the next element, if it has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Option<&'d [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        // One length has one encoding.
        let (length, rest) = match *rest {
            [length @ 0..=0x7f, ref rest @ ..] => (usize::from(length), rest),
            [0x81, length @ 0x80..=0xff, ref rest @ ..] => (usize::from(length), rest),
            [0x82, high @ 1..=0xff, low, ref rest @ ..] => {
                (usize::from(u16::from_be_bytes([high, low])), rest)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(contents)
    }

    /// The elements of a SEQUENCE which is all there is.
    pub(super) fn sequence(mut self) -> Option<Self> {
        let contents = self.take(SEQUENCE)?;
        self.0.is_empty().then_some(Self(contents))
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self) -> Option<&'d [u8]> {
        self.take(INTEGER).filter(|number| number.first().is_some_and(|first| *first < 0x80))
    }

    /// The bytes of a BIT STRING that is made of whole ones.
    pub(super) fn bits(&mut self, tag: u8) -> Option<&'d [u8]> {
        self.take(tag)?.strip_prefix(&[0])
    }

    /// Whether the next element has this tag.
    pub(super) fn is_next(&self, tag: u8) -> bool {
        self.0.first() == Some(&tag)
    }
}

/// An element of these contents, which may be up to 64 KiB.
pub(super) fn element(tag: u8, contents: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let length = contents.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
    // As long as it becomes: a buffer that grows leaves its contents behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_add(4)));
    begin(&mut bytes, tag, length);
    contents.iter().for_each(|part| bytes.extend_from_slice(part));
    bytes
}

/// The tag and the length of an element.
fn begin(bytes: &mut Vec<u8>, tag: u8, length: usize) {
    bytes.push(tag);
    let [high, low] = u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => bytes.push(low),
        (0, _) => bytes.extend([0x81, low]),
        _ => bytes.extend([0x82, high, low]),
    }
}

/// A number that is not negative, from its big-endian bytes.
pub(super) fn number(bytes: &[u8]) -> Zeroizing<Vec<u8>> {
    element(INTEGER, &signed(bytes))
}

/// A SEQUENCE of numbers that are not negative and no secret, each of fewer than 127 bytes.
pub(super) fn public_numbers(numbers: [&[u8]; 2]) -> Vec<u8> {
    let numbers = numbers.map(signed);
    let length_of = |[sign, number]: &[&[u8]; 2]| sign.len().saturating_add(number.len());
    let length =
        numbers.iter().fold(0_usize, |sum, number| sum.saturating_add(length_of(number)).saturating_add(2));
    let mut bytes = Vec::with_capacity(length.saturating_add(4));
    begin(&mut bytes, SEQUENCE, length);
    for number in &numbers {
        begin(&mut bytes, INTEGER, length_of(number));
        number.iter().for_each(|part| bytes.extend_from_slice(part));
    }
    bytes
}

/// The bytes of a number that is not negative: a zero where the first bit would be a sign, and the shortest that say
/// it.
fn signed(bytes: &[u8]) -> [&[u8]; 2] {
    let bytes = super::key::without_zeros(bytes);
    let sign: &[u8] = if bytes.first().is_some_and(|first| *first < 0x80) { &[] } else { &[0] };
    [sign, bytes]
}

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const SEQUENCE: u8 = 0x30;
/// What a format numbers itself: the first such element in its explicit form, and the second in both.
pub(super) const EXPLICIT_0: u8 = 0xa0;
pub(super) const EXPLICIT_1: u8 = 0xa1;
pub(super) const IMPLICIT_1: u8 = 0x81;
