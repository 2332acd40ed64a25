//! The program of a command: finding it, and saying what is missing when it cannot be run; and what the
//! programs that a plan names are started with.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rkt_plan::{Argument, Handle, Piece, ProgramFile, Reach, Role, Source};
use rkt_sys::mount::{self, Attributes, Change, Depth};
use rkt_sys::process;
use rustix::fs::Access;
use rustix::io::Errno;

use crate::failure::Failure;
use crate::launch::{Command, Launch};
use crate::words::bind::{self, Writer};

/// What a program's file says about itself is looked for in this many bytes.
const HEAD: u64 = 4096;

/// A command that is ready to be run in this process's root and working directory.
#[derive(Debug)]
pub(crate) struct Program {
    path: PathBuf,
    /// What is executed, where that is not found by the path.
    file: Option<ManuallyDrop<OwnedFd>>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Finds the program: one with a slash in its name is a path, relative to the working directory;
    /// others are looked for in the command's own `PATH`, and without one in the working directory,
    /// `/bin` and `/usr/bin`. Where there is a file already, it is that.
    pub(crate) fn find(command: &Command, file: Option<ManuallyDrop<OwnedFd>>) -> Result<Self, Failure> {
        let Some(name) = command.arguments.first().filter(|name| !name.is_empty()) else {
            return Err(Failure::new("the command is empty"));
        };
        let path = if file.is_some() || name.contains('/') { PathBuf::from(name) } else { search(name, command)? };
        let text = |text: String| CString::new(text).map_err(Failure::of(|| "an argument or a variable"));
        Ok(Self {
            path,
            file,
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
        let Err(error) = match &self.file {
            Some(file) => process::exec_fd(file.as_fd(), &arguments, &environment),
            None => process::exec(&path, &arguments, &environment),
        };
        let shown = self.path.display();
        match error.errno() {
            Some(Errno::NOENT) if self.file.is_some() => {
                Failure::new(format!("what {shown} needs to be run is not in its jail: its interpreter or loader"))
            }
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

/// The command of a program that the plan names. A tree is what the arguments of one outside of its jail can name.
pub(crate) fn command(
    role: &Role,
    program: &rkt_plan::Program,
    launch: &Launch,
    tree: Option<&str>,
) -> Result<Command, Failure> {
    let mut environment = program.environment.clone();
    if let Some(app) = &program.environment_of {
        let theirs = &command_of(launch, app)?.environment;
        let theirs = theirs.iter().filter(|(name, _)| !program.environment.iter().any(|(own, _)| own == name));
        environment.extend(theirs.cloned());
    }
    Ok(Command {
        file: Some(role.clone()),
        arguments: words(program, &program.arguments, launch, tree)?,
        environment,
        working_directory: "/".to_owned(),
    })
}

/// A program's name and the arguments that a plan gives it, with what is put in.
fn words(
    program: &rkt_plan::Program,
    arguments: &[Argument],
    launch: &Launch,
    tree: Option<&str>,
) -> Result<Vec<String>, Failure> {
    let handles = program.descriptors();
    let mut words = vec![name_of(&program.file).to_owned()];
    for argument in arguments {
        let mut word = String::new();
        for piece in argument.pieces() {
            match piece {
                Piece::Text(text) => word.push_str(text),
                Piece::Descriptor(handle) => {
                    let index = handles.iter().position(|other| *other == handle);
                    let index = index.expect("the list is of all that the arguments mention");
                    word.push_str(&(3 + index).to_string());
                }
                Piece::Tree => word.push_str(tree.ok_or_else(|| Failure::new("a program in its jail has no tree"))?),
                Piece::WorkingDirectory(app) => word.push_str(&command_of(launch, app)?.working_directory),
                Piece::Command(app) => words.extend(command_of(launch, app)?.arguments.iter().cloned()),
                Piece::Words => return Err(Failure::new("nobody enters yet")),
            }
        }
        if !matches!(argument.pieces(), [Piece::Command(_)]) {
            words.push(word);
        }
    }
    Ok(words)
}

fn command_of<'a>(launch: &'a Launch, app: &str) -> Result<&'a Command, Failure> {
    launch.commands.get(app).ok_or_else(|| Failure::new(format!("the launch has no command of app {app}")))
}

fn name_of(file: &ProgramFile) -> &str {
    match file {
        ProgramFile::Host(path) | ProgramFile::Payload(path) => path.as_str(),
    }
}

/// Opens a program's file, on a mount by which it cannot be written to whoever executes it: through
/// `/proc/self/exe` a program reaches its own file (CVE-2019-5736).
pub(crate) fn open(file: &ProgramFile, launch: &Launch) -> Result<OwnedFd, Failure> {
    let source = match file {
        ProgramFile::Host(path) => Source::Host(path.clone()),
        ProgramFile::Payload(path) => Source::Payload(path.clone()),
    };
    let failed = || format!("open the program {}", name_of(file));
    let bound = bind::prepare(&source, rkt_plan::Access::ReadOnly, Reach::Single, launch, Writer::Root);
    let mount = bound.map_err(|cause| cause.within(failed()))?.into_mount();
    let change = Change { set: Attributes::MOUNT_ATTR_NOSUID, ..Change::default() };
    mount::change(mount.as_fd(), change, Depth::One).map_err(Failure::of(failed))?;
    Ok(mount)
}

/// Opens what a program's descriptors lead to, in their order.
pub(crate) fn handles(
    program: &rkt_plan::Program,
    launch: &Launch,
    channel: Option<BorrowedFd<'_>>,
) -> Result<Vec<OwnedFd>, Failure> {
    let writer = if program.jail.user == rkt_plan::User::Own { Writer::Programs } else { Writer::Root };
    let opened = program.descriptors().into_iter().map(|handle| match handle {
        Handle::Open { source, access } => bind::open_for(source, *access, launch, writer),
        Handle::Channel => {
            let channel = channel.ok_or_else(|| Failure::new("the launch has no channel"))?;
            channel.try_clone_to_owned().map_err(Failure::of(|| "hand on the channel"))
        }
    });
    opened.collect()
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
            file: None,
            arguments: vec![name.to_owned()],
            environment: path.map(|path| ("PATH".to_owned(), path.to_owned())).into_iter().collect(),
            working_directory: "/".to_owned(),
        };
        let found = |name, path| Program::find(&command(name, path), None).map(|program| program.path);
        assert_eq!(found("sh", None).unwrap(), Path::new("/bin/sh"));
        assert_eq!(found("sh", Some("/nowhere:/bin")).unwrap(), Path::new("/bin/sh"));
        assert_eq!(found("./sh", Some("/bin")).unwrap(), Path::new("./sh"));
        let missing = found("sh", Some("/nowhere:/proc")).unwrap_err();
        assert_eq!(missing.to_string(), "unable to find \"sh\" in \"/nowhere:/proc\"");
        assert_eq!(found("", None).unwrap_err().to_string(), "the command is empty");
    }
}
