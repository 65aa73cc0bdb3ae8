//! Asks the host about the signature of a bearer token, and looks at nothing else: no claim, no route, no clock. One
//! request at a time, in memory that is there from the start.
//!
//! The configuration has what the arguments of `verify_signature` begin with, hash and key, for ES256 and then for
//! RS256: a byte pair with the length of the first, and both.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code)]

use core::cell::UnsafeCell;

/// Its name says which ABI this is.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Whatever the host writes is over what it wrote before.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= ROOM { WRITTEN.0.get().cast() } else { core::ptr::null_mut() }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_root: u32, size: usize) -> u32 {
    // SAFETY: there is one thread, and nothing else holds the memory.
    unsafe {
        let (mut data, mut length) = (core::ptr::null_mut(), 0);
        if proxy_get_buffer_bytes(7, 0, size, &raw mut data, &raw mut length) != 0 {
            return 0;
        }
        let configuration = core::slice::from_raw_parts(data, length);
        let (first, both) = configuration.split_at(2);
        let (es256, rs256) = both.split_at(usize::from(u16::from_le_bytes([first[0], first[1]])));
        (*ES256.0.get()).start(es256);
        (*RS256.0.get()).start(rs256);
    }
    1
}

/// 0 goes on; a token without a valid signature is answered 401.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_stream: u32, _num_headers: u32, _end_of_stream: u32) -> u32 {
    // SAFETY: there is one thread, and nothing else holds the memory.
    if unsafe { is_signed() } == Some(true) {
        return 0;
    }
    // SAFETY: nothing but lengths of zero.
    unsafe { proxy_send_local_response(401, NOTHING, 0, NOTHING, 0, NOTHING, 0, -1) };
    1
}

unsafe fn is_signed() -> Option<bool> {
    let (mut data, mut length) = (core::ptr::null_mut(), 0);
    // SAFETY: the host writes where `proxy_on_memory_allocate` says.
    let authorization = unsafe {
        if proxy_get_header_map_value(0, "authorization".as_ptr(), 13, &raw mut data, &raw mut length) != 0 {
            return None;
        }
        core::slice::from_raw_parts(data, length)
    };
    let token = authorization.strip_prefix(b"Bearer ")?;
    let dot = token.iter().rposition(|byte| *byte == b'.')?;
    let (text, signature) = (&token[..dot], &token[dot + 1..]);
    let mut decoded = [0; 256];
    let decoded = decode(signature, &mut decoded)?;
    // SAFETY: as above.
    let arguments = unsafe {
        if decoded.len() == 64 {
            let arguments = &mut *ES256.0.get();
            let (r, s) = decoded.split_at(32);
            let (r_size, s_size) = (integer_size(r), integer_size(s));
            arguments.begin(0x1a, 2 + r_size + s_size);
            arguments.push(&[0x30, (r_size + s_size) as u8]);
            arguments.push_integer(r);
            arguments.push_integer(s);
            arguments
        } else {
            let arguments = &mut *RS256.0.get();
            arguments.begin(0x1a, decoded.len());
            arguments.push(decoded);
            arguments
        }
    };
    arguments.begin(0x22, text.len());
    arguments.push(text);
    let (name, written) = ("verify_signature", arguments.take());
    // SAFETY: as above.
    unsafe {
        let status = proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            written.as_ptr(),
            written.len(),
            &raw mut data,
            &raw mut length,
        );
        Some(status == 0 && core::slice::from_raw_parts(data, length) == [8, 1])
    }
}

/// The arguments of a call: a beginning that stays, and what comes behind it.
struct Arguments {
    bytes: [u8; ROOM],
    start: usize,
    end: usize,
}

impl Arguments {
    const EMPTY: Self = Self { bytes: [0; ROOM], start: 0, end: 0 };

    fn start(&mut self, bytes: &[u8]) {
        (self.start, self.end) = (0, 0);
        self.push(bytes);
        self.start = self.end;
    }

    /// A field of protobuf: its tag and its length.
    fn begin(&mut self, tag: u8, mut length: usize) {
        self.push(&[tag]);
        while length > 0x7f {
            self.push(&[length as u8 | 0x80]);
            length >>= 7;
        }
        self.push(&[length as u8]);
    }

    /// A whole number of DER that is not negative.
    fn push_integer(&mut self, number: &[u8]) {
        let number = significant(number);
        let is_high = number.first().is_some_and(|byte| *byte > 0x7f);
        self.push(&[2, (number.len() + usize::from(is_high)) as u8]);
        if is_high {
            self.push(&[0]);
        }
        self.push(number);
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    fn take(&mut self) -> &[u8] {
        let end = core::mem::replace(&mut self.end, self.start);
        &self.bytes[..end]
    }
}

fn integer_size(number: &[u8]) -> usize {
    let number = significant(number);
    2 + number.len() + usize::from(number.first().is_some_and(|byte| *byte > 0x7f))
}

fn significant(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == 0).count().min(number.len() - 1)..]
}

/// Decodes base64url without padding.
fn decode<'d>(text: &[u8], into: &'d mut [u8; 256]) -> Option<&'d [u8]> {
    let length = text.len() * 3 / 4;
    let into = into.get_mut(..length)?;
    for (four, three) in text.chunks(4).zip(into.chunks_mut(3)) {
        let number = four.iter().fold(0, |number, letter| number << 6 | u32::from(VALUES[usize::from(*letter)]));
        let number = number << (6 * (4 - four.len()) as u32 + 8);
        three.copy_from_slice(&number.to_be_bytes()[..three.len()]);
    }
    Some(into)
}

/// What each letter is worth. Others count as 0: the check of the signature fails then.
const VALUES: [u8; 256] = {
    let mut values = [0; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut place = 0;
    while place < letters.len() {
        values[letters[place] as usize] = place as u8;
        place += 1;
    }
    values
};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        kind: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
}

/// Memory of the only thread.
struct Only<T>(UnsafeCell<T>);

// SAFETY: a wasm filter's VM has one thread.
unsafe impl<T> Sync for Only<T> {}

static WRITTEN: Only<[u8; ROOM]> = Only(UnsafeCell::new([0; ROOM]));
static ES256: Only<Arguments> = Only(UnsafeCell::new(Arguments::EMPTY));
static RS256: Only<Arguments> = Only(UnsafeCell::new(Arguments::EMPTY));
/// More than the bench's requests take.
const ROOM: usize = 8 << 10;
const NOTHING: *const u8 = core::ptr::null();
