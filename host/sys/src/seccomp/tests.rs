use std::collections::BTreeMap;

use super::*;
use crate::testing::in_child;

const EVERY_BIT: u64 = u64::MAX;

fn call(name: &str) -> Syscall {
    Syscall::parse(name).unwrap()
}

fn rule(name: &str, conditions: &[Condition], action: Action) -> Rule {
    Rule { syscall: call(name), conditions: conditions.to_vec(), action }
}

fn filter(rules: Vec<Rule>, otherwise: Action) -> Filter {
    Filter { rules, otherwise, foreign: Action::Kill }
}

/// A default-deny filter of about the size of a container's: most calls allowed, some known ones
/// refused, unknown ones answered as if the kernel were old.
fn large() -> Filter {
    let refused = ["mount", "reboot", "kexec_load", "swapon", "bpf", "ptrace", "keyctl", "init_module"];
    let rules = Syscall::all()
        .map(|(name, syscall)| Rule {
            syscall,
            conditions: Vec::new(),
            action: if refused.contains(&name) { Action::Refuse(Errno::PERM) } else { Action::Allow },
        })
        .collect();
    filter(rules, Action::Refuse(Errno::NOSYS))
}

fn install(filter: &Filter) {
    crate::process::set_no_new_privileges().unwrap();
    filter.compile().unwrap().install().unwrap();
}

/// Makes a call by number, which has to fail, with harmless arguments.
fn error_of(number: i64, arguments: [u64; 2]) -> Option<i32> {
    // SAFETY: the tests pass numbers and arguments of calls that change nothing in this process.
    let result = unsafe { libc::syscall(number, arguments[0], arguments[1]) };
    (result == -1).then(|| io::Error::last_os_error().raw_os_error().unwrap())
}

/// What the program answers, run as the kernel runs it.
fn evaluate(program: &Program, arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = Vec::new();
    data.extend(number.to_ne_bytes());
    data.extend(arch.to_ne_bytes());
    data.extend([0; 8]);
    data.extend(arguments.iter().flat_map(|argument| argument.to_ne_bytes()));
    let word = |offset: u32| {
        let offset = offset as usize;
        u32::from_ne_bytes(data[offset..offset + 4].try_into().unwrap())
    };
    let (mut accumulator, mut place) = (0, 0);
    loop {
        let step = &program.0[place];
        place += 1;
        let jump = |holds| usize::from(if holds { step.jt } else { step.jf });
        match u32::from(step.code) {
            0x20 => accumulator = word(step.k),
            0x54 => accumulator &= step.k,
            0x05 => place += step.k as usize,
            0x15 => place += jump(accumulator == step.k),
            0x35 => place += jump(accumulator >= step.k),
            0x06 => return step.k,
            other => panic!("no such instruction here: {other:#x}"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xc000_00b7;

const FIRST_OF_X32: u32 = 0x4000_0000;

#[test]
fn every_number_gets_the_verdict_of_its_rule_and_all_others_the_default() {
    // Every third call in turn, so that hardly two neighbors have the same verdict and the tree is
    // deeper than a conditional jump is long.
    let actions = [Action::Allow, Action::Refuse(Errno::PERM), Action::Log, Action::Trap];
    let verdicts: BTreeMap<u32, Action> =
        Syscall::all().enumerate().map(|(place, (_, syscall))| (syscall.0, actions[place % 4])).collect();
    let rules = verdicts.iter().map(|(number, action)| Rule {
        syscall: Syscall(*number),
        conditions: Vec::new(),
        action: *action,
    });
    let default = Action::Refuse(Errno::NOSYS);
    let program = filter(rules.collect(), default).compile().unwrap();
    for number in (0..2000).chain([FIRST_OF_X32 - 1]) {
        let expected = verdicts.get(&number).copied().unwrap_or(default);
        assert_eq!(evaluate(&program, NATIVE, number, [0; 6]), expected.code(), "{number}");
    }
    for number in [FIRST_OF_X32, FIRST_OF_X32 + 1, u32::MAX] {
        assert_eq!(evaluate(&program, NATIVE, number, [0; 6]), Action::Kill.code(), "{number}");
    }
    let i386 = 0x4000_0003;
    assert_eq!(evaluate(&program, i386, 20, [0; 6]), Action::Kill.code());
}

#[test]
fn of_several_rules_the_first_that_holds_decides_and_all_its_conditions_count() {
    let is = |argument, mask, value| Condition { argument, mask, value };
    let high = 0x1_0000_0000;
    let rules = vec![
        rule("socket", &[is(Argument::First, 0xffff_ffff, 40), is(Argument::Sixth, EVERY_BIT, high | 7)], Action::Trap),
        rule("socket", &[is(Argument::Second, 6, 2)], Action::Log),
        rule("socket", &[], Action::Allow),
        rule("socket", &[], Action::Kill),
        rule("clone", &[is(Argument::First, high, 0)], Action::Allow),
        rule("ioctl", &[is(Argument::First, 0, 1)], Action::Allow),
    ];
    let default = Action::Refuse(Errno::PERM);
    let program = filter(rules, default).compile().unwrap();
    let cases = [
        ("socket", [40, 0, 0, 0, 0, high | 7], Action::Trap),
        ("socket", [high | 0x28, 0, 0, 0, 0, high | 7], Action::Trap),
        ("socket", [40, 0, 0, 0, 0, 7], Action::Allow),
        ("socket", [40, 0xa, 0, 0, 0, 7], Action::Log),
        ("socket", [41, 6, 0, 0, 0, high | 7], Action::Allow),
        ("clone", [0xffff_ffff, 0, 0, 0, 0, 0], Action::Allow),
        ("clone", [high, 0, 0, 0, 0, 0], default),
        ("ioctl", [0, 0, 0, 0, 0, 0], default),
        ("ioctl", [1, 0, 0, 0, 0, 0], default),
    ];
    for (name, arguments, expected) in cases {
        let answer = evaluate(&program, NATIVE, call(name).0, arguments);
        assert_eq!(answer, expected.code(), "{name} {arguments:x?}");
    }
}

#[test]
fn the_kernel_enforces_known_refused_and_unknown_calls_apart() {
    in_child(|| {
        install(&large());
        assert_eq!(error_of(libc::SYS_getpid, [0, 0]), None);
        assert_eq!(error_of(libc::SYS_swapon, [0, 0]), Some(libc::EPERM));
        assert_eq!(error_of(1999, [0, 0]), Some(libc::ENOSYS));
    });
}

#[test]
fn the_kernel_enforces_conditions_on_arguments() {
    in_child(|| {
        let second = Condition { argument: Argument::Second, mask: 0xffff_ffff, value: 11 };
        install(&filter(vec![rule("kill", &[second], Action::Refuse(Errno::XDEV))], Action::Allow));
        // Signal 0 to no process that can exist.
        let nobody = u64::from(u32::MAX >> 1);
        assert_eq!(error_of(libc::SYS_kill, [nobody, 11]), Some(libc::EXDEV));
        assert_eq!(error_of(libc::SYS_kill, [nobody, 0x1_0000_000b]), Some(libc::EXDEV));
        assert_eq!(error_of(libc::SYS_kill, [nobody, 0]), Some(libc::ESRCH));
    });
}

#[test]
#[cfg(target_arch = "x86_64")]
fn x32_numbers_do_not_slip_past_a_list_of_refused_calls() {
    in_child(|| {
        let mut filter = filter(vec![rule("swapon", &[], Action::Refuse(Errno::PERM))], Action::Allow);
        filter.foreign = Action::Refuse(Errno::XDEV);
        install(&filter);
        assert_eq!(error_of(libc::SYS_swapon | i64::from(FIRST_OF_X32), [0, 0]), Some(libc::EXDEV));
    });
}

#[test]
fn a_filter_that_the_kernel_could_not_take_is_refused_by_name_of_its_limit() {
    let condition = |value| Condition { argument: Argument::First, mask: 3, value };
    let many = filter(vec![rule("read", &vec![condition(0); 200], Action::Allow)], Action::Kill);
    assert!(many.compile().is_err());
    let long = (0..2000).map(|value| rule("read", &[condition(value)], Action::Allow)).collect();
    assert!(filter(long, Action::Kill).compile().is_err());
}

#[test]
fn a_program_for_all_calls_is_a_small_part_of_what_the_kernel_takes() {
    let program = large().compile().unwrap();
    assert!(program.0.len() < 200, "{} instructions", program.0.len());
}

#[test]
fn only_names_of_this_architecture_are_calls() {
    assert!(Syscall::parse("openat2").is_some());
    for name in ["", "OPENAT2", "no_such_call"] {
        assert!(Syscall::parse(name).is_none(), "{name}");
    }
}
