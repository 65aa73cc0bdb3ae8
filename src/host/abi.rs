//! The calls that the host takes, with raw statuses. With `callbacks.rs`, the only file with `unsafe` in it.
//!
//! Every status is a value: a panic would take the worker's VM. Each call copies what it needs before it returns, so no lifetime
//! crosses the border.
#![allow(unsafe_code, reason = "foreign functions of the proxy-wasm ABI 0.2.1")]

use core::time::Duration;

use crate::base::{Level, Timestamp};

/// A status other than `Ok`, as the host numbers it (proxy-wasm ABI: `proxy_status_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Status(pub(super) u32);

impl Status {
    /// What was asked for is not there.
    pub(super) const NOT_FOUND: Self = Self(1);
}

/// Which header map (`proxy_header_map_type_t`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Map {
    /// The headers of the request at hand.
    Request,
    /// The headers of its response.
    Response,
    /// The headers of a reply to a call of ours.
    CallReply,
}

impl Map {
    const fn number(self) -> u32 {
        match self {
            Self::Request => 0,
            Self::Response => 2,
            Self::CallReply => 6,
        }
    }
}

/// Which buffer (`proxy_buffer_type_t`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Buffer {
    /// The body of a reply to a call of ours.
    CallReply,
    /// The plugin's configuration.
    Configuration,
}

impl Buffer {
    const fn number(self) -> u32 {
        match self {
            Self::CallReply => 4,
            Self::Configuration => 7,
        }
    }
}

/// What kind of metric (`proxy_metric_type_t`).
#[derive(Clone, Copy, Debug)]
pub(super) enum Metric {
    /// Only grows.
    Counter,
    /// Is set.
    Gauge,
    /// Takes many values, and tells how they are spread.
    Histogram,
}

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, message: *const u8, size: usize) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_get_buffer_bytes(
        kind: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_value(
        kind: u32,
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(kind: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_replace_header_map_value(
        kind: u32,
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(kind: u32, key: *const u8, key_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
    fn proxy_continue_stream(kind: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
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
    fn proxy_define_metric(kind: u32, name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        size: usize,
        version: u32,
    ) -> u32;
    fn proxy_register_shared_queue(name: *const u8, size: usize, id: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(id: u32, message: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(id: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout: u32,
        number: *mut u32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
}

/// Writes a line to the host's log. There is nobody to tell if that fails.
pub(super) fn log(level: Level, line: &str) {
    let level = match level {
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    };
    // SAFETY: pointer and length are those of `line`, which outlives the call.
    let _ = unsafe { proxy_log(level, line.as_ptr(), line.len()) };
}

/// The host's clock. If it cannot be read it is the end of time, at which every token that expires has expired.
pub(super) fn now() -> Timestamp {
    let mut nanos = 0;
    // SAFETY: the host writes one u64 to a local that outlives the call.
    let status = unsafe { proxy_get_current_time_nanoseconds(&raw mut nanos) };
    if status == OK { Timestamp::from_nanos(nanos) } else { Timestamp::MAX }
}

/// Asks for a tick of the current root context every `millis` milliseconds.
pub(super) fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

/// The first `max` bytes of a buffer.
pub(super) fn buffer(buffer: Buffer, max: usize) -> Result<Vec<u8>, Status> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_buffer_bytes(buffer.number(), 0, max, data, size) })
}

/// All headers of a map in the pair encoding.
pub(super) fn header_pairs(map: Map) -> Result<Vec<u8>, Status> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_header_map_pairs(map.number(), data, size) })
}

/// The value of the first field of this name.
pub(super) fn header(map: Map, name: &str) -> Result<Vec<u8>, Status> {
    // SAFETY: the name's pointer and length; `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe {
        proxy_get_header_map_value(map.number(), name.as_ptr(), name.len(), data, size)
    })
}

/// Puts one field of this name in place of any there were.
pub(super) fn set_header(map: Map, name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe {
        proxy_replace_header_map_value(map.number(), name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes every field of this name.
pub(super) fn remove_header(map: Map, name: &str) -> Result<(), Status> {
    // SAFETY: pointer and length are those of `name`, which outlives the call.
    check(unsafe { proxy_remove_header_map_value(map.number(), name.as_ptr(), name.len()) })
}

/// A property; its path's parts are joined by NUL.
pub(super) fn property(path: &str) -> Result<Vec<u8>, Status> {
    // SAFETY: the path's pointer and length; `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// Sets filter state under `wasm.<name>`.
pub(super) fn set_property(name: &str, value: &str) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// Lets the current request go on.
pub(super) fn continue_request() -> Result<(), Status> {
    // SAFETY: no pointers. Stream type 0 is the request.
    check(unsafe { proxy_continue_stream(0) })
}

/// Makes a context the current one; an error means that it is gone.
pub(super) fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Answers the current request. `details` is what `%RESPONSE_CODE_DETAILS%` shows; `headers` are in the pair encoding.
pub(super) fn send_response(
    status: u16,
    details: &str,
    headers: &[u8],
    body: &[u8],
    grpc_status: Option<u32>,
) -> Result<(), Status> {
    let grpc_status = grpc_status.and_then(|code| i32::try_from(code).ok()).unwrap_or(-1);
    // SAFETY: pointers and lengths are those of slices that outlive the call.
    check(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// The number under which the host keeps a metric.
pub(super) fn define_metric(kind: Metric, name: &str) -> Result<u32, Status> {
    let kind = match kind {
        Metric::Counter => 0,
        Metric::Gauge => 1,
        Metric::Histogram => 2,
    };
    let mut id = 0;
    // SAFETY: the name's pointer and length; the host writes one u32 to a local that outlives the call.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Adds to a counter, or to a gauge, from which a negative number takes off.
pub(super) fn increment_metric(id: u32, by: i64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_increment_metric(id, by) })
}

/// Sets a gauge, or records a value in a histogram.
pub(super) fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: no pointers.
    check(unsafe { proxy_record_metric(id, value) })
}

/// A value that all VMs of the process with our `vm_id` share, and its version.
pub(super) fn shared_data(key: &str) -> Result<(Vec<u8>, u32), Status> {
    let mut version = 0;
    // SAFETY: the key's pointer and length; `returned` hands in two locals that outlive the call, and the version is a third.
    let value = returned(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    })?;
    Ok((value, version))
}

/// Sets a shared value; with a version other than 0, only if that is still the value's.
pub(super) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
}

/// Opens a queue for the current root context, which is called when something is in it.
pub(super) fn register_queue(name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: the name's pointer and length; the host writes one u32 to a local that outlives the call.
    check(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

/// Puts a message into a queue.
pub(super) fn enqueue(id: u32, message: &[u8]) -> Result<(), Status> {
    // SAFETY: pointer and length are those of `message`, which outlives the call.
    check(unsafe { proxy_enqueue_shared_queue(id, message.as_ptr(), message.len()) })
}

/// Takes a message out of a queue; an error when there is none.
pub(super) fn dequeue(id: u32) -> Result<Vec<u8>, Status> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_dequeue_shared_queue(id, data, size) })
}

/// Sends a request through a cluster, in the name of the current context; the number under which its reply comes. `headers` are
/// in the pair encoding. A timeout of less than a millisecond is one: zero would mean none.
pub(super) fn http_call(
    cluster: &str,
    headers: &[u8],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Status> {
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
    let no_trailers = 0_u32.to_le_bytes();
    let mut number = 0;
    // SAFETY: pointers and lengths are those of slices that outlive the call; the host writes one u32 to a local that does.
    check(unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            no_trailers.as_ptr(),
            no_trailers.len(),
            millis,
            &raw mut number,
        )
    })?;
    Ok(number)
}

/// Calls a function that the host offers beyond the ABI.
pub(super) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    // SAFETY: pointers and lengths of slices that outlive the call; `returned` hands in two locals that do.
    returned(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

/// Takes over the bytes that the host has written into memory which our allocator gave it.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, Status> {
    let mut data: *mut u8 = core::ptr::null_mut();
    let mut size = 0;
    check(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate(size)`, which is `give_away(size)`, and gives it to us alone.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

/// Memory for the host to write `size` bytes into; [`returned`] takes it over.
pub(super) fn give_away(size: usize) -> *mut u8 {
    Box::into_raw(Box::<[u8]>::new_uninit_slice(size)).cast()
}

const fn check(status: u32) -> Result<(), Status> {
    if status == OK { Ok(()) } else { Err(Status(status)) }
}

const OK: u32 = 0;
