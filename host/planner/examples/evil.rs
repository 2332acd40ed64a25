//! A planner taken over by its plugin: native code in the cage that does what the bytes that it is
//! given as code say. Tests start it and see how far it comes.

#![allow(unsafe_code, reason = "hostile code does not ask for safe wrappers")]

use std::io::Read;
use std::os::fd::AsFd;
use std::process::ExitCode;

use rkt_planner::cage::Cage;

fn main() -> ExitCode {
    let what = code();
    if Cage::PLANNER.enter().is_err() {
        return ExitCode::FAILURE;
    }
    match what.split_once(' ').unwrap_or((&what, "")) {
        ("call", number) => call(number),
        ("say", words) => say(words),
        ("say-and-wait", words) => {
            say(words);
            wait();
        }
        ("say-and-crash", words) => {
            say(words);
            std::process::abort();
        }
        ("say-and-fail", words) => {
            say(words);
            return ExitCode::FAILURE;
        }
        ("bytes", bytes) => send(bytes.as_bytes()),
        ("pid", _) => {
            say(&format!(r#"{{"fact":{{"name":"{}"}}}}"#, std::process::id()));
            wait();
        }
        ("spin", _) => wait(),
        ("deaf", _) => spin(),
        ("execute", _) => execute(),
        ("eat", _) => eat(),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// What to do: the code that a real planner would load.
fn code() -> String {
    let mut what = String::new();
    let mut file = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned().expect("descriptor 1 is open"));
    file.read_to_string(&mut what).expect("tests give text");
    what
}

/// One frame to rkt.
fn say(words: &str) {
    let length = u32::try_from(words.len()).expect("tests say little");
    send(&[&length.to_le_bytes()[..], words.as_bytes()].concat());
}

fn send(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(rustix::stdio::stdin(), bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(_) => return,
        }
    }
}

/// Reads what rkt says until it hangs up.
fn wait() {
    let mut buffer = [0; 4096];
    while rustix::io::read(rustix::stdio::stdin(), &mut buffer).is_ok_and(|read| read > 0) {}
    spin();
}

/// Does nothing for ever; nobody can sleep in a cage.
fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// Makes a system call with arguments that are as good as none.
fn call(number: &str) {
    let number: libc::c_long = number.parse().expect("tests give a number");
    // SAFETY: whatever the call would do, it is what this program is for; none of the arguments is the
    // address of anything.
    unsafe { libc::syscall(number, 0, 0, 0, 0, 0, 0) };
}

/// Makes memory that is writable and executable.
fn execute() {
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    // SAFETY: the kernel chooses where.
    unsafe { libc::mmap(std::ptr::null_mut(), 4096, all, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
}

/// Takes memory until there is none.
fn eat() {
    let mut eaten = Vec::new();
    loop {
        eaten.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&eaten);
    }
}
