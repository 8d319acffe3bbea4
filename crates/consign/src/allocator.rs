//! Where memory comes from. With many resident entities the system's allocator costs half of the
//! throughput (decision 0006).

use std::alloc::{GlobalAlloc, Layout};
use std::ffi::c_int;

use libmimalloc_sys as mi;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

/// What every block is aligned to that is at least as long (`MI_MAX_ALIGN_SIZE` of `mimalloc.h`).
const NATURAL_ALIGN: usize = 16;

/// mimalloc, asked for plain blocks where these are aligned well enough. The crate's own
/// `MiMalloc` always asks for aligned ones, which in version 3 are sought with more room than is
/// needed, unless their size is a power of two (decision 0015).
struct Allocator;

fn is_plain(align: usize, size: usize) -> bool {
    align <= NATURAL_ALIGN && align <= size
}

// SAFETY: each block comes from mimalloc with the size and at least the alignment that was asked
// for, and goes back to mimalloc, which takes plain and aligned ones alike.
#[expect(unsafe_code, reason = "an allocator cannot be made without")]
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: the caller keeps to the contract, and mimalloc answers null when there is no room.
        unsafe {
            match is_plain(align, size) {
                true => mi::mi_malloc(size).cast(),
                false => mi::mi_malloc_aligned(size, align).cast(),
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let (size, align) = (layout.size(), layout.align());
        // SAFETY: as above.
        unsafe {
            match is_plain(align, size) {
                true => mi::mi_zalloc(size).cast(),
                false => mi::mi_zalloc_aligned(size, align).cast(),
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is one of ours.
        unsafe { mi::mi_free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let align = layout.align();
        // SAFETY: the block is one of ours, whichever way it came.
        unsafe {
            match is_plain(align, size) {
                true => mi::mi_realloc(block.cast(), size).cast(),
                false => mi::mi_realloc_aligned(block.cast(), size, align).cast(),
            }
        }
    }
}

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
    unsafe { mi::mi_option_set_default(PURGE_DELAY, KEPT_MS) }
}
