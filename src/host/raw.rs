//! The host calls that the SDK cannot make for us, declared here, and every status is a value. With `dispatcher.rs`,
//! the only file with `unsafe` in it.
//!
//! The SDK's `hostcalls` panic on each status that they do not list, and a panic takes the worker's VM. What stands
//! here is called while requests or ticks are served, and a status that would be one of those can come:
//!
//! | call | why not the SDK's |
//! |---|---|
//! | `get_header_map_pairs` | it unwraps names as UTF-8, and a client may send any bytes |
//! | `get_header_map_value` | a capability restriction may leave it out, for which Envoy answers `InternalFailure` |
//! | `get_buffer_bytes` | the same, for the body of a request |
//! | `replace_`, `remove_header_map_value` | Envoy answers `BadArgument` once a request has gone on |
//! | `send_local_response` | it sends neither details for the access log nor a grpc-status with an HTTP status |
//! | `set_property`, `close_stream` | it takes `Ok` alone, and a restriction may leave it out |
//! | shared data, queues | the same |
#![allow(unsafe_code, reason = "foreign functions of the proxy-wasm ABI 0.2.1")]

use proxy_wasm::types::{BufferType, MapType};

/// The host did not do it. Which status it gave makes no difference to any caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostFailure;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> u32;
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
    fn proxy_close_stream(stream_type: u32) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, size: usize) -> u32;
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
    fn proxy_register_shared_queue(name: *const u8, size: usize, queue: *mut u32) -> u32;
    fn proxy_enqueue_shared_queue(queue: u32, message: *const u8, size: usize) -> u32;
    fn proxy_dequeue_shared_queue(queue: u32, data: *mut *mut u8, size: *mut usize) -> u32;
}

/// All headers of a map in the pair encoding.
pub(super) fn header_pairs(map: MapType) -> Result<Vec<u8>, HostFailure> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })
}

/// The value of the first field of this name.
pub(super) fn header(map: MapType, name: &str) -> Result<Vec<u8>, HostFailure> {
    // SAFETY: the name's pointer and length; `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_header_map_value(map, name.as_ptr(), name.len(), data, size) })
}

/// What has come of the request's body, at most so many bytes.
pub(super) fn request_body(most: usize) -> Result<Vec<u8>, HostFailure> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_get_buffer_bytes(BufferType::HttpRequestBody, 0, most, data, size) })
}

/// Puts one field of this name in place of any there were.
pub(super) fn set_header(map: MapType, name: &str, value: &str) -> Result<(), HostFailure> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Removes every field of this name.
pub(super) fn remove_header(map: MapType, name: &str) -> Result<(), HostFailure> {
    // SAFETY: pointer and length are those of `name`, which outlives the call.
    check(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Answers the request of the effective context. `details` is what `%RESPONSE_CODE_DETAILS%` shows; `headers` are in
/// the pair encoding.
pub(super) fn send_response(
    status: u16,
    details: &str,
    headers: &[u8],
    body: &[u8],
    grpc_status: Option<u32>,
) -> Result<(), HostFailure> {
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

/// Breaks off the request of the effective context: no side gets more of it. Of a root context, which has no request,
/// the host breaks off nothing, and fails only where it never does.
pub(super) fn close_request() -> Result<(), HostFailure> {
    // SAFETY: it takes no pointer.
    check(unsafe { proxy_close_stream(HTTP_REQUEST) })
}

/// Sets filter state under `wasm.<name>`.
pub(super) fn set_property(name: &str, value: &str) -> Result<(), HostFailure> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A value that all VMs of the process with our `vm_id` share, and its version.
pub(super) fn shared_data(key: &str) -> Result<(Vec<u8>, u32), HostFailure> {
    let mut version = 0;
    // SAFETY: the key's pointer and length; `returned` hands in two locals that outlive the call, and the version is a
    // third.
    let value = returned(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    })?;
    Ok((value, version))
}

/// Sets a shared value; with a version other than 0, only if that is still the value's.
pub(super) fn set_shared_data(key: &str, value: &[u8], version: u32) -> Result<(), HostFailure> {
    // SAFETY: pointers and lengths are those of the arguments, which outlive the call.
    check(unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), version) })
}

/// Opens a queue for the current root context, which is called when something is in it.
pub(super) fn register_queue(name: &str) -> Result<u32, HostFailure> {
    let mut queue = 0;
    // SAFETY: the name's pointer and length; the host writes one u32 to a local that outlives the call.
    check(unsafe { proxy_register_shared_queue(name.as_ptr(), name.len(), &raw mut queue) })?;
    Ok(queue)
}

/// Puts a message into a queue.
pub(super) fn enqueue(queue: u32, message: &[u8]) -> Result<(), HostFailure> {
    // SAFETY: pointer and length are those of `message`, which outlives the call.
    check(unsafe { proxy_enqueue_shared_queue(queue, message.as_ptr(), message.len()) })
}

/// Takes a message out of a queue; an error when there is none.
pub(super) fn dequeue(queue: u32) -> Result<Vec<u8>, HostFailure> {
    // SAFETY: `returned` hands in two locals that outlive the call.
    returned(|data, size| unsafe { proxy_dequeue_shared_queue(queue, data, size) })
}

/// Takes over the bytes that the host has written into memory which our allocator gave it.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>, HostFailure> {
    let mut data: *mut u8 = core::ptr::null_mut();
    let mut size = 0;
    check(call(&raw mut data, &raw mut size))?;
    if data.is_null() || size == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from the SDK's `proxy_on_memory_allocate(size)`, a boxed slice of `size` bytes, and
    // gives it to us alone.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

const fn check(status: u32) -> Result<(), HostFailure> {
    if status == OK { Ok(()) } else { Err(HostFailure) }
}

/// `proxy_stream_type_t`.
const HTTP_REQUEST: u32 = 0;
/// `proxy_status_t`.
const OK: u32 = 0;
