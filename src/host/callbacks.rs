//! What the host calls: the callbacks of the proxy-wasm ABI 0.2.1, and no others, because the host calls each one that is there,
//! for each request. Each finds the root context that it is about and hands over.
#![allow(unsafe_code, unreachable_pub, reason = "exported by name, for the host")]

use core::cell::RefCell;
use std::collections::HashMap;

use rustc_hash::FxBuildHasher;

use super::abi;
use super::http::{Action, decide, tell_response};
use super::perform;
use super::root::Root;
use crate::base::{Level, StreamId};

/// The contexts of this VM. A request belongs to the root context that the host names when it creates it.
#[derive(Default)]
struct Contexts {
    /// One or two: the configurations of plugins that share the VM, and those that they replace.
    roots: Vec<Root>,
    /// The request that was created last, with its root context: almost always the one whose headers come next.
    newest: Option<(u32, u32)>,
    /// Requests that were created before it, and whose headers another filter has held up. Numbers are the host's, and no
    /// caller's: their hash needs no key.
    others: HashMap<u32, u32, FxBuildHasher>,
}

impl Contexts {
    fn create(&mut self, context: u32, root: u32) {
        if root == 0 {
            self.roots.push(Root::new(context));
        } else if let Some((older, its_root)) = self.newest.replace((context, root)) {
            self.others.insert(older, its_root);
        }
    }

    /// The root context of a request whose headers have come. They come once, so that it need not be known any longer.
    fn take(&mut self, stream: u32) -> Option<&mut Root> {
        let newest = self.newest.take_if(|(newest, _)| *newest == stream);
        let root = newest.map(|(_, root)| root).or_else(|| self.others.remove(&stream))?;
        self.root(root)
    }

    fn root(&mut self, id: u32) -> Option<&mut Root> {
        self.roots.iter_mut().find(|root| root.id() == id)
    }

    fn delete(&mut self, context: u32) {
        if let Some(place) = self.roots.iter().position(|root| root.id() == context) {
            self.roots.swap_remove(place).shut_down();
            return;
        }
        if self.newest.take_if(|(newest, _)| *newest == context).is_none() && !self.others.is_empty() {
            self.others.remove(&context);
        }
        self.roots.iter_mut().for_each(|root| root.end(StreamId(context)));
    }
}

thread_local! {
    static CONTEXTS: RefCell<Contexts> = RefCell::default();
}

/// `None` when a callback comes within another one: Envoy puts off what would, and nobody else is known to do it.
fn with_contexts<T>(act: impl FnOnce(&mut Contexts) -> T) -> Option<T> {
    CONTEXTS.with(|contexts| match contexts.try_borrow_mut() {
        Ok(mut contexts) => Some(act(&mut contexts)),
        Err(_) => {
            abi::log(Level::Error, "a callback within a callback is lost");
            None
        }
    })
}

fn with_root<T: Default>(id: u32, act: impl FnOnce(&mut Root) -> T) -> T {
    with_contexts(|contexts| contexts.root(id).map(act)).flatten().unwrap_or_default()
}

unsafe extern "C" {
    /// The linker's: what has to be done before anything else, the environment read among it.
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the host calls this once, before everything else.
    unsafe { __wasm_call_ctors() };
    // Nothing should panic; if something does, the log says where.
    std::panic::set_hook(Box::new(|panic| abi::log(Level::Error, &panic.to_string())));
}

/// Its name says which ABI this is.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    abi::give_away(size)
}

/// `root` is 0 where the context is a root context itself.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    with_contexts(|contexts| contexts.create(context, root));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _size: usize) -> u32 {
    u32::from(with_root(root, Root::configure))
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    with_root(root, Root::tick);
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_queue_ready(root: u32, queue: u32) {
    with_root(root, |root| root.wake(queue));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    call: u32,
    num_headers: usize,
    body_size: usize,
    _num_trailers: usize,
) {
    with_root(root, |root| root.reply(call, num_headers, body_size));
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _num_headers: usize, _end_of_stream: u32) -> u32 {
    let action = with_contexts(|contexts| contexts.take(stream).map(|root| decide(root, StreamId(stream))));
    let action = action.flatten().unwrap_or_else(|| {
        perform::fail("a request of no root context");
        Action::Pause
    });
    match action {
        Action::Continue => 0,
        Action::Pause => 1,
    }
}

/// Only the requests that carry a token of ours are looked at; the response always goes on.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _num_headers: usize, _end_of_stream: u32) -> u32 {
    with_contexts(|contexts| {
        contexts.roots.iter_mut().for_each(|root| tell_response(root, StreamId(stream)));
    });
    0
}

/// The context is over. That a root context will be, `proxy_on_done` would say before, but of each request as well.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    with_contexts(|contexts| contexts.delete(context));
}
