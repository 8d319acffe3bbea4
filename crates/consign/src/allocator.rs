//! Where memory comes from. With many resident entities the system's allocator costs half of the
//! throughput (decision 0006).

use std::ffi::c_int;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of `mimalloc.h`, which the crate gives no name.
const PURGE_DELAY: c_int = 15;
/// How long freed pages are kept before the system has them back.
const KEPT_MS: std::ffi::c_long = 1_000;

/// Keeps freed pages for a while: each checkpoint frees megabytes that the next one asks for again,
/// and the system clears every page that it gives (decision 0010). `MIMALLOC_PURGE_DELAY` of the
/// environment goes over this.
#[expect(unsafe_code, reason = "a C function without a safe wrapper")]
pub(crate) fn keep_freed_pages() {
    // SAFETY: it writes one static of the allocator; it must not be called from two threads, and
    // there is only one when the process begins.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}
