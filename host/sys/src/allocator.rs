//! The allocator of static programs: theirs is the C library's else, which asks the kernel for each few pages,
//! and is slow.
#![allow(unsafe_code, reason = "GlobalAlloc")]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;

/// A heap for a whole program.
///
/// These programs have one thread nearly always: the lock is one that costs next to nothing then, and never
/// allocates.
pub struct Allocator(Mutex<Dlmalloc>);

impl Allocator {
    /// One without memory yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Mutex::new(Dlmalloc::new()))
    }

    /// No thread panics while it holds the lock.
    fn heap(&self) -> MutexGuard<'_, Dlmalloc> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Allocator {
    fn default() -> Self {
        Self::new()
    }
}

// SAFETY: each call is the same call of `Dlmalloc`, which keeps this contract, and no two run at a time. A child of
// `fork(2)` has a copy that nobody uses: such are made of processes with one thread only.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller answers for.
        unsafe { self.heap().malloc(layout.size(), layout.align()) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as the caller answers for.
        unsafe { self.heap().free(memory, layout.size(), layout.align()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller answers for.
        unsafe { self.heap().calloc(layout.size(), layout.align()) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as the caller answers for.
        unsafe { self.heap().realloc(memory, layout.size(), layout.align(), size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_get_memory_of_their_own_that_keeps_what_is_written_to_it() {
        let heap = Allocator::new();
        std::thread::scope(|scope| {
            for mark in 1..=4_u8 {
                let heap = &heap;
                scope.spawn(move || {
                    for size in 1..2000 {
                        let layout = Layout::from_size_align(size, 8).unwrap();
                        // SAFETY: the layout is not empty; what is read was written, within it.
                        unsafe {
                            let memory = heap.alloc(layout);
                            memory.write_bytes(mark, size);
                            let memory = heap.realloc(memory, layout, 2 * size);
                            let grown = Layout::from_size_align(2 * size, 8).unwrap();
                            let kept = std::slice::from_raw_parts(memory, size);
                            assert!(kept.iter().all(|byte| *byte == mark));
                            heap.dealloc(memory, grown);
                            let zeroed = heap.alloc_zeroed(layout);
                            assert!(std::slice::from_raw_parts(zeroed, size).iter().all(|byte| *byte == 0));
                            heap.dealloc(zeroed, layout);
                        }
                    }
                });
            }
        });
    }
}
