//! What stands between the host and the SDK's dispatcher, which panics when it is asked about what it does not know.
//!
//! `tools/relink` gives each callback `attache_on_…` the name of the SDK's `proxy_on_…`, which it calls in turn. Where
//! a module is built without that step, Envoy calls the SDK at once. `docs/decisions/proxy-wasm-sdk.md` goes through
//! all of its panics.
#![allow(unsafe_code, unreachable_pub, reason = "exported by name, for the linker's next step")]

use core::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use crate::base::CallId;

/// What the SDK's dispatcher knows of this VM, and nothing else may be asked about.
#[derive(Default)]
struct Registry {
    /// One or two: the configurations of plugins that share the VM, and those that they replace.
    roots: Vec<u32>,
    /// The calls that are under way, by the host's number, with the root context that made them.
    calls: HashMap<u32, (u32, CallId)>,
    /// The requests that are held back until their body has come.
    held: BTreeSet<u32>,
}

thread_local! {
    static REGISTRY: RefCell<Registry> = RefCell::default();
}

/// A root context is there now.
pub(super) fn root_created(id: u32) {
    with_registry(|registry| registry.roots.push(id));
}

/// It is gone.
pub(super) fn root_deleted(id: u32) {
    with_registry(|registry| registry.roots.retain(|root| *root != id));
}

/// A root context has made a call.
pub(super) fn call_made(root: u32, number: u32, id: CallId) {
    with_registry(|registry| registry.calls.insert(number, (root, id)));
}

/// The call of this number has come to its end.
pub(super) fn take_call(number: u32) -> Option<CallId> {
    with_registry(|registry| registry.calls.remove(&number)).flatten().map(|(_, id)| id)
}

/// No answer to a call of this root context is waited for any more.
pub(super) fn forget_calls(root: u32) {
    with_registry(|registry| registry.calls.retain(|_, (caller, _)| *caller != root));
}

/// A request is held back, and its body is to be shown.
pub(super) fn hold(context: u32) {
    with_registry(|registry| registry.held.insert(context));
}

/// It goes on, or is over.
pub(super) fn let_go(context: u32) {
    with_registry(|registry| registry.held.remove(&context));
}

fn is_held(context: u32) -> bool {
    with_registry(|registry| registry.held.contains(&context)).unwrap_or_default()
}

fn is_root(id: u32) -> bool {
    with_registry(|registry| registry.roots.contains(&id)).unwrap_or_default()
}

/// `None` within another use of it, of which there is none: no function here calls anything but its own argument.
fn with_registry<T>(act: impl FnOnce(&mut Registry) -> T) -> Option<T> {
    REGISTRY.with(|registry| registry.try_borrow_mut().ok().map(|mut registry| act(&mut registry)))
}

unsafe extern "C" {
    safe fn proxy_on_context_create(context: u32, root: u32);
    safe fn proxy_on_request_body(context: u32, body_size: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_request_headers(context: u32, num_headers: usize, end_of_stream: bool) -> u32;
    safe fn proxy_on_request_trailers(context: u32, num_trailers: usize) -> u32;
    safe fn proxy_on_tick(root: u32);
    safe fn proxy_on_queue_ready(root: u32, queue: u32);
    safe fn proxy_on_http_call_response(
        root: u32,
        number: u32,
        num_headers: usize,
        body_size: usize,
        num_trailers: usize,
    );
}

/// Envoy starts a root context again where a plugin of the same key is started: it is there already.
#[unsafe(no_mangle)]
extern "C" fn attache_on_context_create(context: u32, root: u32) {
    if root != 0 || !is_root(context) {
        proxy_on_context_create(context, root);
    }
}

/// Envoy shows the body of a request that is paused only where the status says so, and `Pause` may be that one. Any
/// other request that is paused keeps its client from sending more, and is not answered 413.
#[unsafe(no_mangle)]
extern "C" fn attache_on_request_headers(context: u32, num_headers: usize, end_of_stream: bool) -> u32 {
    match proxy_on_request_headers(context, num_headers, end_of_stream) {
        STOP_ITERATION if !is_held(context) => STOP_ALL_ITERATION_AND_WATERMARK,
        status => status,
    }
}

/// Almost no body is looked at.
#[unsafe(no_mangle)]
extern "C" fn attache_on_request_body(context: u32, body_size: usize, end_of_stream: bool) -> u32 {
    if is_held(context) { proxy_on_request_body(context, body_size, end_of_stream) } else { CONTINUE }
}

/// A body may end with trailers.
#[unsafe(no_mangle)]
extern "C" fn attache_on_request_trailers(context: u32, num_trailers: usize) -> u32 {
    if is_held(context) { proxy_on_request_trailers(context, num_trailers) } else { CONTINUE }
}

/// Envoy never stops the timer of a root context that is gone, and gives its number away again after 2³² requests.
#[unsafe(no_mangle)]
extern "C" fn attache_on_tick(root: u32) {
    if is_root(root) {
        proxy_on_tick(root);
    }
}

/// Queues outlive the root context that opened them, and its VM, too.
#[unsafe(no_mangle)]
extern "C" fn attache_on_queue_ready(root: u32, queue: u32) {
    if is_root(root) {
        proxy_on_queue_ready(root, queue);
    }
}

/// A call that fails at once is answered although its making has been refused.
#[unsafe(no_mangle)]
extern "C" fn attache_on_http_call_response(
    root: u32,
    number: u32,
    num_headers: usize,
    body_size: usize,
    num_trailers: usize,
) {
    if with_registry(|registry| registry.calls.contains_key(&number)).unwrap_or_default() {
        proxy_on_http_call_response(root, number, num_headers, body_size, num_trailers);
    }
}

/// `FilterHeadersStatus`, `FilterDataStatus` and `FilterTrailersStatus`.
const CONTINUE: u32 = 0;
const STOP_ITERATION: u32 = 1;
const STOP_ALL_ITERATION_AND_WATERMARK: u32 = 4;
