//! Loading compiled code: the planner's only unsafe code.
//!
//! The code is mapped executable before the process locks itself in, and parsed only afterwards, so
//! that the cage never has to let memory become executable.

#![allow(unsafe_code, reason = "compiled code is mapped and run as it is")]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use wasmtime::component::Component;
use wasmtime::{Config, CustomCodeMemory, Engine};

/// Compiled code in memory that is executable, never writable, and stays until the process ends.
#[derive(Clone, Copy)]
pub(crate) struct Code(&'static [u8]);

impl Code {
    /// Maps the code in a memory file.
    ///
    /// # Errors
    /// The file could still be changed by someone, is empty, or cannot be mapped.
    pub(crate) fn map(file: BorrowedFd<'_>) -> io::Result<Self> {
        let sealed = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
        let length = usize::try_from(fstat(file)?.st_size).map_err(io::Error::other)?;
        if !fcntl_get_seals(file)?.contains(sealed) || length == 0 {
            return Err(Errno::INVAL.into());
        }
        // SAFETY: the kernel chooses a place where nothing is; the mapping is never undone.
        let start =
            unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE, file, 0) }?;
        // SAFETY: the mapping is `length` bytes, readable, and stays for ever. Its bytes do not change:
        // we have not mapped it writable, and the file is sealed against writing and shrinking.
        Ok(Self(unsafe { std::slice::from_raw_parts(start.cast(), length) }))
    }

    /// Loads the component.
    ///
    /// The engine checks that it was compiled for this engine with these settings, and nothing else.
    ///
    /// # Errors
    /// It was not, or it is broken in a way that shows.
    pub(crate) fn load(self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the memory lives and stays as it is for ever, see `map`. The code is the compiler
        // program's own output: it reached rkt inside rkt itself, or from a directory that only its
        // owner can write, with its digest checked; see `artifact`. It runs caged whatever it does.
        unsafe { Component::deserialize_raw(engine, NonNull::from(self.0)) }
    }
}

/// Tells the engine that code needs not be made executable: it is.
pub(crate) fn code_is_mapped(config: &mut Config) {
    config.with_custom_code_memory(Some(Arc::new(Mapped)));
}

struct Mapped;

impl CustomCodeMemory for Mapped {
    fn required_alignment(&self) -> usize {
        // All of it is executable, wherever the code lies in it.
        1
    }

    fn publish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        Ok(())
    }

    fn unpublish_executable(&self, _: *const u8, _: usize) -> wasmtime::Result<()> {
        Ok(())
    }
}
