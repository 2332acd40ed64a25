//! The machine: QEMU, its jail and its devices.
//!
//! No name that an image or a user chose is in an argument: disks are named by the numbers of apps.

use rkt_sdk::{
    Access, App, Jail, Limit, Piece, Plan, Pod, Problem, Program, Reach, channel, empty, host, initramfs, kernel,
    root_image,
};

use crate::processor::Processor;
use crate::volumes;

/// The program.
pub(crate) const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// What the guest's kernel needs to reach disks, their file systems and the monitor.
const MODULES: [&str; 5] = ["virtio_pci", "virtio_blk", "virtio_console", "erofs", "overlay"];

/// What the guest itself takes, in mebibytes, and the least that a machine has.
const OVERHEAD: u64 = 128;
const LEAST: u64 = 512;

/// What QEMU takes beside the guest's memory, of which half is for code that it emulates, in mebibytes.
const OVERHEAD_OF_QEMU: u64 = 256;

/// The largest weight that there is.
const MOST_SHARES: u64 = 262_144;

/// The most processors of a machine.
const MOST_PROCESSORS: u64 = 64;

pub(crate) fn plan(plan: &mut Plan, pod: &Pod, processor: Processor, has_volumes: bool) -> Result<(), Problem> {
    let console = match pod.setting("console") {
        None | Some("no") => "null",
        Some("yes") => "stdio",
        Some(other) => return Err(Problem::new(format!("console is {other:?}")).hint("it can be `yes` or `no`")),
    };
    let mut machine = plan.program(host(QEMU));
    processor.plan(&mut machine);
    machine.arguments(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-monitor", "none"]);
    machine.arguments(["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
    machine.arguments(["-machine", "q35,usb=off,vmport=off,graphics=off"]);
    machine.arguments(["-m".to_owned(), format!("{}M", memory(pod)), "-smp".to_owned(), processors(pod).to_string()]);
    machine.arguments(["-kernel", "/kernel", "-initrd", "/initramfs"]);
    machine.arguments(["-append", "quiet panic=-1 reboot=t console=ttyS0", "-serial", console]);
    plan_devices(&mut machine, pod, has_volumes);
    let mut jail = machine.jail();
    plan_jail(&mut jail, pod, has_volumes);
    limit(&mut jail, pod);
    Ok(())
}

/// The way to init, a disk for each app, and the volumes.
fn plan_devices(machine: &mut Program, pod: &Pod, has_volumes: bool) {
    machine.arguments(["-device", "virtio-serial-pci", "-chardev"]);
    machine.argument([Piece::from("socket,id=rkt,fd="), Piece::Descriptor(channel(), Access::ReadWrite)]);
    machine.arguments(["-device", "virtserialport,chardev=rkt,name=rkt"]);
    for number in 0..pod.apps.len() {
        let disk = format!("if=none,id=root-{number},file=/root-{number},format=raw,readonly=on");
        let device = format!("virtio-blk-pci,drive=root-{number},serial=root-{number}");
        machine.arguments(["-drive".to_owned(), disk, "-device".to_owned(), device]);
    }
    if has_volumes {
        // The server reads and writes the guest's memory.
        let memory = format!("memory-backend-memfd,id=memory,size={}M,share=on", memory(pod));
        machine.arguments(["-object".to_owned(), memory, "-machine".to_owned(), "memory-backend=memory".to_owned()]);
        let device = format!("vhost-user-fs-pci,chardev={0},tag={0}", volumes::TAG);
        let way = format!("socket,id={},path={}", volumes::TAG, volumes::SOCKET);
        machine.arguments(["-chardev".to_owned(), way, "-device".to_owned(), device]);
    }
}

fn plan_jail(jail: &mut Jail, pod: &Pod, has_volumes: bool) {
    jail.own_user().no_new_privileges();
    jail.bind(host("/usr"), "/usr", Access::ReadOnly, Reach::Single);
    jail.link("/lib", "usr/lib").link("/lib64", "usr/lib64");
    jail.bind(kernel(), "/kernel", Access::ReadOnly, Reach::Single);
    let modules: Vec<&str> = MODULES.into_iter().chain(has_volumes.then_some("virtiofs")).collect();
    jail.bind(initramfs(&modules), "/initramfs", Access::ReadOnly, Reach::Single);
    for (number, app) in pod.apps.iter().enumerate() {
        jail.bind(root_image(&app.name), &format!("/root-{number}"), Access::ReadOnly, Reach::Single);
    }
    if has_volumes {
        jail.bind(empty(volumes::TAG), volumes::MEETING, Access::ReadOnly, Reach::Single);
    }
    // QEMU looks there for the kinds of locks that files have.
    jail.device("/dev/null");
}

/// What apps are limited to each in the guest, the machine is limited to outside, whatever the guest does:
/// where any app has a limit of memory, and where all have one of the processor.
fn limit(jail: &mut Jail, pod: &Pod) {
    let has = |app: &App, what: &str| app.limits.iter().any(|limit| limit.what == what);
    let mut limit = |what: &str, value| {
        jail.limit(&Limit { what: what.to_owned(), value });
    };
    if pod.apps.iter().any(|app| has(app, "memory")) {
        limit("memory", (memory(pod) + OVERHEAD_OF_QEMU) << 20);
    }
    if pod.apps.iter().all(|app| has(app, "cpu")) {
        limit("cpu", sum(pod, "cpu"));
    }
    if pod.apps.iter().all(|app| has(app, "cpu-shares")) {
        limit("cpu-shares", sum(pod, "cpu-shares").min(MOST_SHARES));
    }
}

/// The sum of the apps' limits and what the guest itself takes, in mebibytes.
fn memory(pod: &Pod) -> u64 {
    (sum(pod, "memory").div_ceil(1 << 20) + OVERHEAD).max(LEAST)
}

/// As many as the apps may use together.
fn processors(pod: &Pod) -> u64 {
    sum(pod, "cpu").div_ceil(1000).clamp(1, MOST_PROCESSORS)
}

fn sum(pod: &Pod, what: &str) -> u64 {
    let limits = pod.apps.iter().flat_map(|app| &app.limits).filter(|limit| limit.what == what);
    limits.fold(0, |sum, limit| sum.saturating_add(limit.value))
}
