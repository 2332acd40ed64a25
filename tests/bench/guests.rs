//! Guests: `rkt` with a virtual machine, and the same machine by hand: the same QEMU, kernel, initramfs and
//! image of the root file system, and in place of rkt's init a script that does what a pod needs and no more.
//! Emulated, since that can be compared anywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rkt_tests::guest::kernel;

use crate::Result;
use crate::contestants::{Contestant, Stage};
use crate::runner::{Surroundings, must};

/// What they are called.
pub(crate) const OURS: &str = "rkt kvm";
pub(crate) const BY_HAND: &str = "QEMU by hand";

/// The script's last words, by which it is known that all went well.
const DONE: &str = "the program has succeeded";

/// Loads the modules, puts a writable overlay on the image, runs the program in it, and turns the machine off.
const INIT: &str = "#!/by-hand/busybox sh
b=/by-hand/busybox
for module in $($b cat /modules/order); do $b insmod /modules/$module; done
$b mount -t devtmpfs devtmpfs /dev
$b mkdir /lower /changes /root
$b mount -t erofs -o ro /dev/vda /lower
$b mount -t tmpfs tmpfs /changes
$b mkdir /changes/upper /changes/work
$b mount -t overlay -o lowerdir=/lower,upperdir=/changes/upper,workdir=/changes/work overlay /root
$b chroot /root /bin/true && echo the program has succeeded
$b poweroff -f
";

/// Both, with all that they run made beforehand.
pub(crate) fn contestants(stage: &Stage) -> Result<Vec<Contestant>> {
    let policy = stage.home().join("guests");
    fs::create_dir(&policy)?;
    fs::write(policy.join("stage1.toml"), format!("kernel = {:?}\n", kernel().to_str().ok_or("no text")?))?;
    let rkt = stage.rkt_with(&policy, "kvm", &["--stage1-option=accel=tcg"]);
    // The first makes the image.
    must(Command::new(&rkt[0]).args(&rkt[1..]))?;
    let initramfs = with_init(&find(&stage.data(), "initramfs")?, stage.home())?;
    let image = find(&stage.data(), "root.erofs")?;
    let by_hand = |serial| by_hand(&initramfs, &image, serial);
    let words = by_hand("stdio");
    let said = must(Command::new(&words[0]).args(&words[1..]).stdin(Stdio::null()))?;
    if !said.contains(DONE) {
        return Err(format!("QEMU by hand did not run the program:\n{said}").into());
    }
    let contestant = |name, words| Contestant { name, words, surroundings: Surroundings::Host };
    Ok(vec![contestant(OURS, rkt), contestant(BY_HAND, by_hand("null"))])
}

/// rkt's initramfs with an init that comes after its own, and is the one that counts.
fn with_init(ours: &Path, home: &Path) -> Result<PathBuf> {
    let folder = home.join("by-hand-guest");
    fs::create_dir_all(folder.join("by-hand"))?;
    fs::copy("/bin/busybox", folder.join("by-hand/busybox"))?;
    fs::write(folder.join("init"), INIT)?;
    fs::set_permissions(folder.join("init"), fs::Permissions::from_mode(0o755))?;
    let archive = home.join("initramfs");
    let pack = format!(
        "cp {ours} {archive} && cd {folder} && find . | busybox cpio -o -H newc >> {archive}",
        ours = ours.display(),
        archive = archive.display(),
        folder = folder.display()
    );
    must(Command::new("sh").args(["-c", &pack]))?;
    Ok(archive)
}

/// The machine that the flavor plans.
fn by_hand(initramfs: &Path, image: &Path, serial: &str) -> Vec<String> {
    let line = format!(
        "/usr/bin/qemu-system-x86_64 -nodefaults -no-user-config -no-reboot -display none -monitor none \
         -machine q35,usb=off,vmport=off,graphics=off -accel tcg,tb-size=128 -m 512M -smp 1 -serial {serial} \
         -kernel {} -initrd {} -device virtio-serial-pci \
         -drive if=none,id=root,file={},format=raw,readonly=on -device virtio-blk-pci,drive=root -append",
        kernel().display(),
        initramfs.display(),
        image.display(),
    );
    let words = line.split_whitespace().map(str::to_owned);
    words.chain(["quiet panic=-1 reboot=t console=ttyS0".to_owned()]).collect()
}

/// The file of this name somewhere below a directory.
fn find(directory: &Path, name: &str) -> Result<PathBuf> {
    let found = must(Command::new("find").arg(directory).args(["-name", name, "-type", "f"]))?;
    let first = found.lines().next().ok_or_else(|| format!("there is no {name} in {}", directory.display()))?;
    Ok(first.into())
}
