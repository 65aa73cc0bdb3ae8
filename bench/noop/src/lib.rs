//! Lets every request pass and looks at none. It has the callback that is asked, and what the ABI cannot do without.

#![cfg(target_family = "wasm")]
#![allow(unsafe_code)]

/// Its name says which ABI this is.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// The host writes nothing here: nothing asks it to.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(_size: usize) -> *mut u8 {
    core::ptr::null_mut()
}

/// 0 goes on.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_stream: u32, _num_headers: u32, _end_of_stream: u32) -> u32 {
    0
}
