//! The code of a filter: classic BPF over `struct seccomp_data` (linux/seccomp.h).

use std::mem::offset_of;

use libc::{seccomp_data, sock_filter};

use super::{Argument, Condition, Rule};

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e; // AUDIT_ARCH_X86_64
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7; // AUDIT_ARCH_AARCH64

/// The first number that is not this architecture's: x32 calls have this bit (asm/unistd.h), and no
/// architecture has calls from there on.
const FOREIGN: u32 = 0x4000_0000;

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const AND: u32 = libc::BPF_ALU | libc::BPF_AND | libc::BPF_K;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const IF_AT_LEAST: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

/// Calls from `first` on, up to the next run's first, and what decides them.
struct Run {
    first: u32,
    verdict: Verdict,
}

enum Verdict {
    /// One answer, whatever the arguments.
    Answer(u32),
    /// Code that looks at arguments and returns.
    Code(Vec<sock_filter>),
}

/// The whole program; `rules` are sorted by call. `None` where one rule is longer than a jump.
pub(super) fn compile(rules: &[&Rule], otherwise: u32, foreign: u32) -> Option<Vec<sock_filter>> {
    let mut program = vec![
        load(offset_of!(seccomp_data, arch)),
        jump_if(IF_EQUAL, ARCHITECTURE, 1, 0),
        instruction(RETURN, foreign),
        load(offset_of!(seccomp_data, nr)),
    ];
    search(&runs(rules, otherwise, foreign)?, &mut program);
    Some(program)
}

/// All numbers in order, neighbors of the same answer as one run.
fn runs(rules: &[&Rule], otherwise: u32, foreign: u32) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut append = |first, verdict| match (runs.last(), &verdict) {
        (Some(Run { verdict: Verdict::Answer(before), .. }), Verdict::Answer(after)) if before == after => {}
        _ => runs.push(Run { first, verdict }),
    };
    let mut next = 0;
    for rules in rules.chunk_by(|one, other| one.syscall == other.syscall) {
        let number = rules[0].syscall.0;
        if number > next {
            append(next, Verdict::Answer(otherwise));
        }
        append(number, verdict(rules, otherwise)?);
        next = number + 1;
    }
    append(next, Verdict::Answer(otherwise));
    append(FOREIGN, Verdict::Answer(foreign));
    Some(runs)
}

/// Binary search for the run of the loaded number.
fn search(runs: &[Run], program: &mut Vec<sock_filter>) {
    if let [run] = runs {
        match &run.verdict {
            Verdict::Answer(action) => program.push(instruction(RETURN, *action)),
            Verdict::Code(code) => program.extend_from_slice(code),
        }
        return;
    }
    let (lower, upper) = runs.split_at(runs.len() / 2);
    let (bound, span) = (upper[0].first, length(lower));
    if let Ok(span) = u8::try_from(span) {
        program.push(jump_if(IF_AT_LEAST, bound, span, 0));
    } else {
        // A conditional jump spans 255 instructions; the other kind any number.
        let span = u32::try_from(span).expect("rules in memory are fewer than that");
        program.extend([jump_if(IF_AT_LEAST, bound, 0, 1), instruction(JUMP, span)]);
    }
    search(lower, program);
    search(upper, program);
}

/// How many instructions [`search`] makes of these runs.
fn length(runs: &[Run]) -> usize {
    if let [run] = runs {
        return match &run.verdict {
            Verdict::Answer(_) => 1,
            Verdict::Code(code) => code.len(),
        };
    }
    let (lower, upper) = runs.split_at(runs.len() / 2);
    let lower = length(lower);
    let jump = if u8::try_from(lower).is_ok() { 1 } else { 2 };
    jump + lower + length(upper)
}

/// What decides one call: its rules in turn, then `otherwise`.
fn verdict(rules: &[&Rule], otherwise: u32) -> Option<Verdict> {
    if let [rule, ..] = rules
        && rule.conditions.is_empty()
    {
        return Some(Verdict::Answer(rule.action.code()));
    }
    let mut code = Vec::new();
    for rule in rules {
        let mut decision = vec![instruction(RETURN, rule.action.code())];
        for condition in &rule.conditions {
            decision = [test(condition, decision.len())?, decision].concat();
        }
        code.append(&mut decision);
        if rule.conditions.is_empty() {
            return Some(Verdict::Code(code));
        }
    }
    code.push(instruction(RETURN, otherwise));
    Some(Verdict::Code(code))
}

/// Goes on where the condition holds, else past the `rest` instructions that follow.
fn test(condition: &Condition, rest: usize) -> Option<Vec<sock_filter>> {
    let offset = offset_of!(seccomp_data, args) + size_of::<u64>() * index(condition.argument);
    let (low, high) = if cfg!(target_endian = "little") { (0, 4) } else { (4, 0) };
    let mut code = Vec::with_capacity(6);
    for (word, shift) in [(high, 32), (low, 0)] {
        let half = |value: u64| u32::try_from(value >> shift & 0xffff_ffff).expect("masked to 32 bits");
        let (mask, value) = (half(condition.mask), half(condition.value));
        if mask == 0 && value == 0 {
            continue;
        }
        code.push(load(offset + word));
        if mask != u32::MAX {
            code.push(instruction(AND, mask));
        }
        // The distance to the end of the test is known only when all of it is there.
        code.push(jump_if(IF_EQUAL, value, 0, 0));
    }
    let end = code.len() + rest;
    for (place, step) in code.iter_mut().enumerate() {
        if u32::from(step.code) == IF_EQUAL {
            step.jf = u8::try_from(end - place - 1).ok()?;
        }
    }
    Some(code)
}

fn index(argument: Argument) -> usize {
    match argument {
        Argument::First => 0,
        Argument::Second => 1,
        Argument::Third => 2,
        Argument::Fourth => 3,
        Argument::Fifth => 4,
        Argument::Sixth => 5,
    }
}

fn load(offset: usize) -> sock_filter {
    instruction(LOAD, u32::try_from(offset).expect("seccomp_data has 64 bytes"))
}

fn instruction(code: u32, k: u32) -> sock_filter {
    let code = u16::try_from(code).expect("BPF codes have 16 bits");
    sock_filter { code, jt: 0, jf: 0, k }
}

fn jump_if(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { jt, jf, ..instruction(code, k) }
}
