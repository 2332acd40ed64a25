//! Loading code: the planner's only unsafe code.
//!
//! A component's code is mapped executable before the process locks itself in, and parsed only
//! afterwards, so that its cage never has to let memory become executable. A native library is loaded
//! in its cage from the first byte.

#![allow(unsafe_code, reason = "code from elsewhere is mapped and run as it is")]

use std::error::Error as _;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::Arc;

use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use wasmtime::component::Component;
use wasmtime::{Config, CustomCodeMemory, Engine};

use crate::contract::table::{ENTRY, Stage1};
use crate::failure::Failure;
use crate::message::Part;

/// Compiled code in memory that is executable, never writable, and stays until the process ends.
#[derive(Clone, Copy)]
pub(crate) struct Code(&'static [u8]);

impl Code {
    /// Maps code: part of the file of the program that started this one, or all of a memory file.
    ///
    /// # Errors
    /// The memory file could still be changed by someone, the code is empty or cannot be mapped.
    pub(crate) fn map(file: BorrowedFd<'_>, part: Option<Part>) -> io::Result<Self> {
        let Part { offset, length } = part.map_or_else(|| all_of(file), Ok)?;
        if length == 0 {
            return Err(Errno::INVAL.into());
        }
        let (may, private) = (ProtFlags::READ | ProtFlags::EXEC, MapFlags::PRIVATE);
        // SAFETY: the kernel chooses a place where nothing is; the mapping is never undone.
        let start = unsafe { mmap(ptr::null_mut(), length, may, private, file, offset) }?;
        // SAFETY: the mapping is `length` bytes, readable, and stays for ever. Its bytes do not change:
        // we have not mapped it writable, and the file is sealed against writing and shrinking, or is
        // that of a running program, which the kernel lets nobody write to.
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

fn all_of(file: BorrowedFd<'_>) -> io::Result<Part> {
    let sealed = SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW;
    if !fcntl_get_seals(file)?.contains(sealed) {
        return Err(Errno::INVAL.into());
    }
    Ok(Part { offset: 0, length: usize::try_from(fstat(file)?.st_size).map_err(io::Error::other)? })
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

/// Loads the library in a memory file, which runs what it wants to run on being loaded. It stays for
/// ever.
///
/// # Errors
/// The loader refuses it, or it is none that begins as `rkt-plugin.h` says.
pub(crate) fn library(file: BorrowedFd<'_>) -> Result<&'static Stage1, Failure> {
    let unloadable = |cause: libloading::Error| Failure::Load {
        // What the loader itself says is the source, if it says anything.
        why: cause.source().map_or_else(|| cause.to_string(), ToString::to_string),
    };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: the code is a stranger's and keeps no promise. This process was made for it and locked
    // itself in before; it holds nothing but this plugin's pod, and whatever it says is checked.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(unloadable)?;
    // SAFETY: it is taken for a pointer here, to whatever it is.
    let entry = unsafe { library.get::<*const Stage1>(ENTRY) }.map_err(unloadable)?.into_raw().cast::<Stage1>();
    let _stays = library.into_raw();
    if entry.is_null() {
        return Err(Failure::Load { why: format!("{ENTRY} is nowhere") });
    }
    // SAFETY: the loader found it in memory that it mapped; the size comes first.
    let size = unsafe { entry.cast::<usize>().read() };
    if size < size_of::<Stage1>() {
        return Err(Failure::contract(format!("its table has {size} bytes, and {} are needed", size_of::<Stage1>())));
    }
    // SAFETY: it says that it is a whole one. Its function may be anything that the plugin could as
    // well call itself.
    Ok(unsafe { &*entry })
}
