//! Programs of a few hundred bytes, assembled here: system calls and nothing else, for x86-64.
//!
//! Between such a program and the kernel there is no C library that makes other calls first, tries an
//! older call when one is refused, or takes time to start.

/// Where the file is mapped.
const BASE: u64 = 0x40_0000;
/// Length of the ELF header and its one program header (elf(5)).
const HEADERS: u64 = 64 + 56;
const EXIT: u32 = 60;

/// An argument of a system call.
#[derive(Debug, Clone, Copy)]
pub enum Argument<'a> {
    /// A number, in two's complement where negative.
    Number(i64),
    /// The address of a text that ends with NUL.
    Text(&'a str),
    /// The address of a list of such texts that ends with a null pointer, as execve(2) takes.
    List(&'a [&'a str]),
}

/// By which door the kernel is entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// The instruction `syscall`; a number with bit 30 set is a call of the x32 ABI.
    Syscall,
    /// `int 0x80`: the calls of i386, with its numbers.
    Int80,
}

/// A program that makes system calls, one after the other.
#[derive(Debug, Default)]
pub struct Program {
    data: Vec<u8>,
    code: Vec<u8>,
    calls: u8,
}

impl Program {
    /// One that does nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a call that has to succeed; the program ends with 100 and the index of the call otherwise.
    #[must_use]
    pub fn call(mut self, number: u32, arguments: &[Argument<'_>]) -> Self {
        self.enter(Door::Syscall, number, arguments);
        self.code.extend([0x48, 0x85, 0xc0]); // test rax, rax
        self.code.extend([0x79, 12]); // jns over what follows
        let code = 100 + self.calls;
        self.load(0xbf, u32::from(code)); // mov edi, code
        self.load(0xb8, EXIT); // mov eax, EXIT
        self.code.extend([0x0f, 0x05]); // syscall
        self.calls += 1;
        self
    }

    /// Makes a last call and ends with its error number, or with 0 where it succeeds.
    pub fn end_with(mut self, door: Door, number: u32, arguments: &[Argument<'_>]) -> Vec<u8> {
        self.enter(door, number, arguments);
        self.code.extend([0x89, 0xc7]); // mov edi, eax
        self.code.extend([0xf7, 0xdf]); // neg edi
        self.code.extend([0x85, 0xc0]); // test eax, eax
        self.code.extend([0x78, 2]); // js over what follows
        self.code.extend([0x31, 0xff]); // xor edi, edi
        self.load(0xb8, EXIT);
        self.code.extend([0x0f, 0x05]);
        self.file()
    }

    /// Ends with this code.
    pub fn exit(self, code: u8) -> Vec<u8> {
        let mut program = self;
        program.enter(Door::Syscall, EXIT, &[Argument::Number(code.into())]);
        program.file()
    }

    fn enter(&mut self, door: Door, number: u32, arguments: &[Argument<'_>]) {
        // mov REGISTER, imm64: in the order in which each ABI takes arguments.
        let registers: &[[u8; 2]] = match door {
            Door::Syscall => &[[0x48, 0xbf], [0x48, 0xbe], [0x48, 0xba], [0x49, 0xba], [0x49, 0xb8], [0x49, 0xb9]],
            Door::Int80 => &[[0x48, 0xbb], [0x48, 0xb9], [0x48, 0xba], [0x48, 0xbe], [0x48, 0xbf], [0x48, 0xbd]],
        };
        assert!(arguments.len() <= registers.len(), "a call has six arguments at most");
        for (register, argument) in registers.iter().zip(arguments) {
            let value = self.place(*argument);
            self.code.extend(register);
            self.code.extend(value.to_le_bytes());
        }
        self.load(0xb8, number); // mov eax, number
        self.code.extend(match door {
            Door::Syscall => [0x0f, 0x05],
            Door::Int80 => [0xcd, 0x80],
        });
    }

    fn load(&mut self, instruction: u8, value: u32) {
        self.code.push(instruction);
        self.code.extend(value.to_le_bytes());
    }

    /// The value of an argument, whose text is put between headers and code.
    fn place(&mut self, argument: Argument<'_>) -> u64 {
        match argument {
            Argument::Number(number) => number.cast_unsigned(),
            Argument::Text(text) => {
                let at = BASE + HEADERS + self.data.len() as u64;
                self.data.extend(text.as_bytes());
                self.data.push(0);
                at
            }
            Argument::List(texts) => {
                let pointers: Vec<u64> = texts.iter().map(|text| self.place(Argument::Text(text))).collect();
                let at = BASE + HEADERS + self.data.len() as u64;
                self.data.extend(pointers.into_iter().chain([0]).flat_map(u64::to_le_bytes));
                at
            }
        }
    }

    fn file(self) -> Vec<u8> {
        let entry = BASE + HEADERS + self.data.len() as u64;
        let length = HEADERS + (self.data.len() + self.code.len()) as u64;
        let mut file = Vec::new();
        file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"); // 64 bit, little endian, System V
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]); // an executable, x86-64, version 1
        file.extend([entry, 64, 0].into_iter().flat_map(u64::to_le_bytes)); // program headers at 64, no sections
        file.extend([0; 4]);
        file.extend([64_u16, 56, 1, 0, 0, 0].into_iter().flat_map(u16::to_le_bytes)); // sizes and counts
        file.extend([1, 0, 0, 0, 5, 0, 0, 0]); // PT_LOAD, to read and execute
        file.extend([0, BASE, BASE, length, length, 0x1000].into_iter().flat_map(u64::to_le_bytes));
        file.extend(self.data);
        file.extend(self.code);
        file
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Output};
    use std::{fs, io};

    use super::*;

    fn run(program: &[u8]) -> Output {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("program");
        fs::write(&path, program).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        loop {
            // Another test's child holds the file open for writing until it executes its own program.
            match Command::new(&path).output() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                result => return result.unwrap(),
            }
        }
    }

    #[test]
    fn a_program_writes_and_exits() {
        let hello = [Argument::Number(1), Argument::Text("hello\n"), Argument::Number(6)];
        let output = run(&Program::new().call(1, &hello).exit(7));
        assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(7), b"hello\n".as_slice()));
    }

    #[test]
    fn a_call_that_fails_ends_the_program() {
        let open = [Argument::Text("/does-not-exist"), Argument::Number(0)];
        assert_eq!(run(&Program::new().call(39, &[]).call(2, &open).exit(0)).status.code(), Some(101));
    }

    #[test]
    fn the_last_call_is_told_by_its_error() {
        let open = [Argument::Text("/does-not-exist"), Argument::Number(0)];
        assert_eq!(run(&Program::new().end_with(Door::Syscall, 2, &open)).status.code(), Some(2));
        assert_eq!(run(&Program::new().end_with(Door::Syscall, 39, &[])).status.code(), Some(0));
    }

    #[test]
    fn the_door_of_i386_has_its_numbers() {
        // 1 is exit there.
        let output = run(&Program::new().end_with(Door::Int80, 1, &[Argument::Number(5)]));
        assert_eq!((output.status.code(), output.status.signal()), (Some(5), None));
    }

    #[test]
    fn a_list_is_what_execve_takes() {
        let echo = Argument::List(&["echo", "a b"]);
        let output =
            run(&Program::new().end_with(Door::Syscall, 59, &[Argument::Text("/bin/echo"), echo, Argument::List(&[])]));
        assert_eq!(output.stdout, b"a b\n");
    }
}
