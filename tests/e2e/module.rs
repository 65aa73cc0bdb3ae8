//! Modules made for tests: the one under test with one callback that traps, and one that writes into shared data.

use std::collections::BTreeSet;

/// The same module, in which this callback, of three numbers to one, is a trap.
pub(crate) fn with_trap_door(module: &[u8], callback: &str) -> Vec<u8> {
    let mut sections = sections(module);
    let body = |id: u8, sections: &[(u8, Vec<u8>)]| {
        sections.iter().find(|(other, _)| *other == id).unwrap().1.clone()
    };
    let wanted = [vec![0x60], vector(&[vec![I32], vec![I32], vec![I32]]), vector(&[vec![I32]])].concat();
    let kind = function_types(&body(TYPES, &sections)).iter().position(|kind| *kind == wanted).unwrap();
    let imported = imported_functions(&body(IMPORTS, &sections));
    let functions = Reader(&body(FUNCTIONS, &sections)).number();
    for (id, section) in &mut sections {
        match *id {
            FUNCTIONS => *section = longer(section, &number(kind)),
            // No locals; `unreachable`; `end`.
            CODE => *section = longer(section, &[3, 0, 0x00, 0x0b]),
            EXPORTS => *section = exported_as(section, callback, imported + functions),
            _ => {}
        }
    }
    let sections = sections.iter().flat_map(|(id, body)| section(*id, body));
    MAGIC.iter().copied().chain(sections).collect()
}

/// A module that writes these values into the shared data of its `vm_id`, whatever is there, at each request's headers.
pub(crate) fn planter(values: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut data, mut code) = (Vec::new(), Vec::new());
    for (name, value) in values {
        for bytes in [name.as_bytes(), value] {
            code.extend([constant(START + data.len()), constant(bytes.len())].concat());
            data.extend_from_slice(bytes);
        }
        // Of any version; call; what it returns is of no interest.
        code.extend([constant(0), vec![0x10, 0, 0x1a]].concat());
    }
    caller("proxy_set_shared_data", 5, &code, &data)
}

/// A module that puts an empty message into each of the first queues of the process, whosever they are, at each request's headers.
pub(crate) fn ringer(queues: usize) -> Vec<u8> {
    let enqueue = |queue| [constant(queue), constant(START), constant(0), vec![0x10, 0, 0x1a]].concat();
    caller("proxy_enqueue_shared_queue", 3, &(1..=queues).flat_map(enqueue).collect::<Vec<u8>>(), &[])
}

/// A module that lets each request go on and runs `code` before; that calls one host call, of so many numbers to one.
fn caller(import: &str, parameters: usize, code: &[u8], data: &[u8]) -> Vec<u8> {
    let code = [vec![0], code.to_vec(), constant(0), vec![0x0b]].concat();
    let bytes = |bytes: &[u8]| [number(bytes.len()), bytes.to_vec()].concat();
    let text = |text: &str| bytes(text.as_bytes());
    let function = |parameters: usize, results: usize| {
        [vec![0x60], vector(&vec![vec![I32]; parameters]), vector(&vec![vec![I32]; results])].concat()
    };
    let export = |name: &str, kind: u8, index: u8| [text(name), vec![kind, index]].concat();
    let pages = (START + data.len()).div_ceil(PAGE);
    let sections = [
        section(TYPES, &vector(&[function(parameters, 1), function(0, 0), function(1, 1), function(3, 1)])),
        section(IMPORTS, &vector(&[[text("env"), text(import), vec![0, 0]].concat()])),
        section(FUNCTIONS, &vector(&[vec![1], vec![2], vec![3]])),
        section(MEMORIES, &vector(&[[vec![0], number(pages)].concat()])),
        section(
            EXPORTS,
            &vector(&[
                export("memory", 2, 0),
                export("proxy_abi_version_0_2_1", 0, 1),
                export("proxy_on_memory_allocate", 0, 2),
                export("proxy_on_request_headers", 0, 3),
            ]),
        ),
        section(
            CODE,
            &vector(&[
                bytes(&[0, 0x0b]),
                bytes(&[vec![0], constant(ALLOCATED), vec![0x0b]].concat()),
                bytes(&code),
            ]),
        ),
        section(DATA, &vector(&[[vec![0], constant(START), vec![0x0b], bytes(data)].concat()])),
    ];
    MAGIC.iter().copied().chain(sections.concat()).collect()
}

/// A module that answers each request with what lies under this name in the shared data of its `vm_id`: 200, or 404 for nothing.
pub(crate) fn reader(name: &str) -> Vec<u8> {
    let load = |address: usize| [constant(address), vec![0x28, 2, 0]].concat();
    let code = [
        vec![0],
        // proxy_get_shared_data(name, length, &value, &length, &version): 0 where there is something.
        constant(START),
        constant(name.len()),
        constant(VALUE),
        constant(VALUE + 4),
        constant(VALUE + 8),
        vec![0x10, 0],
        // if
        vec![0x04, 0x40],
        answer(404, constant(0), constant(0)),
        vec![0x05],
        answer(200, load(VALUE), load(VALUE + 4)),
        vec![0x0b],
        // Pause.
        constant(1),
        vec![0x0b],
    ]
    .concat();
    let bytes = |bytes: &[u8]| [number(bytes.len()), bytes.to_vec()].concat();
    let text = |text: &str| bytes(text.as_bytes());
    let function = |parameters: usize, results: usize| {
        [vec![0x60], vector(&vec![vec![I32]; parameters]), vector(&vec![vec![I32]; results])].concat()
    };
    let import = |name: &str, kind: u8| [text("env"), text(name), vec![0, kind]].concat();
    let export = |name: &str, kind: u8, index: u8| [text(name), vec![kind, index]].concat();
    let sections = [
        section(
            TYPES,
            &vector(&[function(5, 1), function(0, 0), function(1, 1), function(3, 1), function(8, 1)]),
        ),
        section(
            IMPORTS,
            &vector(&[import("proxy_get_shared_data", 0), import("proxy_send_local_response", 4)]),
        ),
        section(FUNCTIONS, &vector(&[vec![1], vec![2], vec![3]])),
        section(MEMORIES, &vector(&[[vec![0], number(2)].concat()])),
        section(
            EXPORTS,
            &vector(&[
                export("memory", 2, 0),
                export("proxy_abi_version_0_2_1", 0, 2),
                export("proxy_on_memory_allocate", 0, 3),
                export("proxy_on_request_headers", 0, 4),
            ]),
        ),
        section(
            CODE,
            &vector(&[
                bytes(&[0, 0x0b]),
                bytes(&[vec![0], constant(PAGE), vec![0x0b]].concat()),
                bytes(&code),
            ]),
        ),
        section(DATA, &vector(&[[vec![0], constant(START), vec![0x0b], text(name)].concat()])),
    ];
    MAGIC.iter().copied().chain(sections.concat()).collect()
}

/// What a module calls of the host, and what it lets the host call, by name.
pub(crate) fn border(module: &[u8]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (id, section) in sections(module) {
        let mut rest = Reader(&section);
        for _ in 0..if [IMPORTS, EXPORTS].contains(&id) { rest.number() } else { 0 } {
            if id == IMPORTS {
                rest.text();
            }
            names.insert(String::from_utf8(rest.text().to_vec()).unwrap());
            // The kind, and the number of the type or of what is exported.
            rest.bytes(1);
            rest.number();
        }
    }
    names
}

/// proxy_send_local_response(status, details, body, headers, grpc_status), each but the first and the last an address and a length.
fn answer(status: usize, body: Vec<u8>, length: Vec<u8>) -> Vec<u8> {
    let nothing = || [constant(0), constant(0)].concat();
    [constant(status), nothing(), body, length, nothing(), vec![0x41, 0x7f], vec![0x10, 1, 0x1a]].concat()
}

fn sections(module: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut rest = Reader(module.strip_prefix(MAGIC).unwrap());
    let mut sections = Vec::new();
    while !rest.0.is_empty() {
        let id = rest.bytes(1)[0];
        let length = rest.number();
        sections.push((id, rest.bytes(length).to_vec()));
    }
    sections
}

fn function_types(section: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = Reader(section);
    (0..rest.number())
        .map(|_| {
            let start = rest.0;
            assert_eq!(rest.bytes(1), [0x60]);
            for _ in 0..2 {
                let length = rest.number();
                rest.bytes(length);
            }
            start[..start.len() - rest.0.len()].to_vec()
        })
        .collect()
}

fn imported_functions(section: &[u8]) -> usize {
    let mut rest = Reader(section);
    let count = rest.number();
    for _ in 0..count {
        rest.text();
        rest.text();
        assert_eq!(rest.bytes(1), [0], "only functions are imported");
        rest.number();
    }
    count
}

fn exported_as(section: &[u8], name: &str, index: usize) -> Vec<u8> {
    let mut rest = Reader(section);
    let mut exports = Vec::new();
    let mut found = false;
    for _ in 0..rest.number() {
        let (other, kind, mut exported) = (rest.text().to_vec(), rest.bytes(1).to_vec(), rest.number());
        if other == name.as_bytes() {
            (exported, found) = (index, true);
        }
        exports.push([number(other.len()), other, kind, number(exported)].concat());
    }
    if !found {
        exports.push([number(name.len()), name.as_bytes().to_vec(), vec![0], number(index)].concat());
    }
    vector(&exports)
}

/// A vector with one item more.
fn longer(section: &[u8], item: &[u8]) -> Vec<u8> {
    let mut rest = Reader(section);
    let count = rest.number();
    [number(count + 1), rest.0.to_vec(), item.to_vec()].concat()
}

fn section(id: u8, body: &[u8]) -> Vec<u8> {
    [vec![id], number(body.len()), body.to_vec()].concat()
}

fn vector(items: &[Vec<u8>]) -> Vec<u8> {
    [number(items.len()), items.concat()].concat()
}

/// `i32.const`, whose number is a signed one: seven bits of it would be taken for a sign.
fn constant(value: usize) -> Vec<u8> {
    let mut bytes = number(value);
    if let Some(last) = bytes.last_mut().filter(|last| **last & 0x40 != 0) {
        *last |= 0x80;
        bytes.push(0);
    }
    [vec![0x41], bytes].concat()
}

/// LEB128.
fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value > 0 { low | 0x80 } else { low });
        if value == 0 {
            return bytes;
        }
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    fn text(&mut self) -> &'a [u8] {
        let length = self.number();
        self.bytes(length)
    }

    fn number(&mut self) -> usize {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = self.bytes(1)[0];
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
}

const MAGIC: &[u8] = b"\0asm\x01\0\0\0";
const TYPES: u8 = 1;
const IMPORTS: u8 = 2;
const FUNCTIONS: u8 = 3;
const MEMORIES: u8 = 5;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;
const DATA: u8 = 11;
const I32: u8 = 0x7f;
const PAGE: usize = 64 * 1024;
/// Where the planter's values lie, and where the host may put what it has.
const START: usize = 4096;
const ALLOCATED: usize = 1024;
/// Where the reader learns what the host has found.
const VALUE: usize = 2048;
