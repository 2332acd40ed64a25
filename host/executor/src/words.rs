//! One file a word of the contract, named as the word: how it is enacted, and nothing of when.

pub(crate) mod bind;
pub(crate) mod capabilities;
pub(crate) mod device;
pub(crate) mod file;
pub(crate) mod hostname;
pub(crate) mod limit;
pub(crate) mod link;
pub(crate) mod mask;
pub(crate) mod mount;
pub(crate) mod oom_score;
pub(crate) mod read_only;
pub(crate) mod root;
pub(crate) mod seccomp;
pub(crate) mod share;
pub(crate) mod user;
