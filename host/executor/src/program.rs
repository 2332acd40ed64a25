//! The program of a command: finding it, and saying what is missing when it cannot be run.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use rkt_sys::process;
use rustix::fs::Access;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::launch::Command;

/// What a program's file says about itself is looked for in this many bytes.
const HEAD: u64 = 4096;

/// A command that is ready to be run in this process's root and working directory.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Finds the program: one with a slash in its name is a path, relative to the working directory;
    /// others are looked for in the command's own `PATH`, and without one in the working directory,
    /// `/bin` and `/usr/bin`.
    pub(crate) fn find(command: &Command) -> Result<Self, Failure> {
        let Some(name) = command.arguments.first().filter(|name| !name.is_empty()) else {
            return Err(Failure::new("the command is empty"));
        };
        let path = if name.contains('/') { PathBuf::from(name) } else { search(name, command)? };
        let text = |text: String| CString::new(text).map_err(Failure::of(|| "an argument or a variable"));
        Ok(Self {
            path,
            arguments: command.arguments.iter().cloned().map(text).collect::<Result<_, _>>()?,
            environment: command
                .environment
                .iter()
                .map(|(name, value)| text(format!("{name}={value}")))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Becomes the program; returns only to say why not.
    pub(crate) fn run(&self) -> Failure {
        let Ok(path) = CString::new(self.path.as_os_str().as_encoded_bytes()) else {
            return Failure::new("the program's name has a NUL in it");
        };
        let arguments: Vec<_> = self.arguments.iter().map(CString::as_c_str).collect();
        let environment: Vec<_> = self.environment.iter().map(CString::as_c_str).collect();
        let Err(error) = process::exec(&path, &arguments, &environment);
        let shown = self.path.display();
        match error.errno() {
            Some(Errno::NOENT) if self.path.exists() => match interpreter(&self.path) {
                Some(interpreter) => Failure::new(format!("{interpreter} is missing, which {shown} needs to be run")),
                None => Failure::of(|| format!("run {shown}"))(error),
            },
            Some(Errno::NOENT) => Failure::new(format!("there is no {shown}")),
            Some(Errno::NOEXEC) => Failure::new(format!("{shown} is no program of this machine's kind")),
            _ => Failure::of(|| format!("run {shown}"))(error),
        }
    }
}

fn search(name: &str, command: &Command) -> Result<PathBuf, Failure> {
    let path = command.environment.iter().find(|(variable, _)| variable == "PATH");
    let directories = match path {
        Some((_, directories)) => directories.clone(),
        None => format!("{}:/bin:/usr/bin", command.working_directory),
    };
    // An empty entry is the working directory, and so is the path that joining makes of it.
    let candidates = directories.split(':').map(|directory| Path::new(directory).join(name));
    let found = candidates
        .map(|path| if path.is_absolute() { path } else { Path::new(".").join(path) })
        .find(|path| path.is_file() && rustix::fs::access(path, Access::EXEC_OK).is_ok());
    found.ok_or_else(|| Failure::new(format!("unable to find \"{name}\" in \"{directories}\"")))
}

/// The interpreter that a script's first line or a dynamic program's header names.
fn interpreter(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let mut head = Vec::new();
    file.by_ref().take(HEAD).read_to_end(&mut head).ok()?;
    if let Some(rest) = head.strip_prefix(b"#!") {
        let line = rest.split(|byte| *byte == b'\n').next()?;
        return String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned);
    }
    let (offset, size) = elf_interpreter(&head)?;
    let mut name = Vec::new();
    file.seek(SeekFrom::Start(offset)).ok()?;
    file.take(size.min(HEAD)).read_to_end(&mut name).ok()?;
    Some(String::from_utf8_lossy(&name).trim_end_matches('\0').to_owned())
}

/// Where a 64-bit program's header says that its interpreter's name is (elf(5): PT_INTERP).
fn elf_interpreter(head: &[u8]) -> Option<(u64, u64)> {
    const PT_INTERP: u32 = 3;
    if head.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let number = |at: usize| Some(u64::from_ne_bytes(head.get(at..at + 8)?.try_into().ok()?));
    let short = |at: usize| Some(u16::from_ne_bytes(head.get(at..at + 2)?.try_into().ok()?));
    let (table, size, count) = (usize::try_from(number(32)?).ok()?, usize::from(short(54)?), usize::from(short(56)?));
    (0..count).find_map(|index| {
        let entry = table.checked_add(index.checked_mul(size)?)?;
        let kind = u32::from_ne_bytes(head.get(entry..entry.checked_add(4)?)?.try_into().ok()?);
        (kind == PT_INTERP).then_some((number(entry + 8)?, number(entry + 32)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_and_dynamic_programs_name_their_interpreter() {
        let directory = tempfile::tempdir().unwrap();
        let script = directory.path().join("script");
        std::fs::write(&script, "#! /no/such/shell -e\nexit 1\n").unwrap();
        assert_eq!(interpreter(&script).as_deref(), Some("/no/such/shell"));
        let own = interpreter(&std::env::current_exe().unwrap());
        assert!(own.as_deref().is_none_or(|name| name.starts_with('/') && name.contains("ld")), "{own:?}");
        std::fs::write(&script, b"\x7fELF\x02\xff\xff").unwrap();
        assert_eq!(interpreter(&script), None);
    }

    #[test]
    fn a_name_is_searched_as_the_command_says() {
        let command = |name: &str, path: Option<&str>| Command {
            arguments: vec![name.to_owned()],
            environment: path.map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect(),
            working_directory: "/".to_owned(),
        };
        let found = |name, path| Program::find(&command(name, path)).map(|program| program.path);
        assert_eq!(found("sh", None).unwrap(), Path::new("/bin/sh"));
        assert_eq!(found("sh", Some("/nowhere:/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(found("./sh", Some("/bin")).unwrap(), Path::new("./sh"));
        let missing = found("sh", Some("/nowhere:/proc")).unwrap_err();
        assert_eq!(missing.to_string(), "unable to find \"sh\" in \"/nowhere:/proc\"");
        assert_eq!(found("", None).unwrap_err().to_string(), "the command is empty");
    }
}
