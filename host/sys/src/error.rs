//! The one error of this crate: which call failed, on what, and why.

use std::fmt::Display;
use std::io;

use rustix::io::Errno;

/// A refused or failed kernel call.
///
/// `Display` says the call and its object ("openat2 /etc/passwd"); the source says why.
#[derive(Debug, thiserror::Error)]
#[error("{call} {object}")]
pub struct Error {
    call: &'static str,
    object: String,
    #[source]
    cause: io::Error,
}

/// What every fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An error of `call` on `object`; the name of the object is made only now.
    pub fn new(call: &'static str, object: impl Display, cause: impl Into<io::Error>) -> Self {
        Self { call, object: object.to_string(), cause: cause.into() }
    }

    /// For `map_err`: names the call and its object, at no cost while nothing fails.
    pub(crate) fn on<E: Into<io::Error>>(call: &'static str, object: impl Display) -> impl FnOnce(E) -> Self {
        move |cause| Self::new(call, object, cause)
    }

    /// A refusal that is ours and not the kernel's, with the reason in words.
    pub(crate) fn refused(call: &'static str, object: impl Display, reason: impl Into<String>) -> Self {
        let cause = io::Error::new(io::ErrorKind::InvalidInput, reason.into());
        Self::new(call, object, cause)
    }

    /// The call that failed, as its manual page names it.
    pub fn call(&self) -> &'static str {
        self.call
    }

    /// What the call was about: a path, a name, a number.
    pub fn object(&self) -> &str {
        &self.object
    }

    /// The kernel's reason; `None` where this crate refused by itself.
    pub fn errno(&self) -> Option<Errno> {
        Errno::from_io_error(&self.cause)
    }

    /// The reason as the standard library sorts it.
    pub fn kind(&self) -> io::ErrorKind {
        self.cause.kind()
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        io::Error::new(error.kind(), error)
    }
}
