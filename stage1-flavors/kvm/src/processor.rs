//! Who runs the guest's code: this host's processor through KVM, or one that QEMU emulates.
//!
//! A host may have a KVM that opens and does not work, which is seen only by running a guest. So the first has
//! little time to speak, and what came of it is known to the next.

use rkt_sdk::{Device, Facts, Plan, Pod, Problem, Program};

/// The device of KVM.
const KVM: &str = "/dev/kvm";

/// How many seconds a guest has to speak: where nobody knows whether it ever will, where others have, and where
/// its processor is emulated.
const PATIENCE: u32 = 3;
const PATIENCE_WHERE_IT_WORKS: u32 = 60;
const PATIENCE_OF_EMULATION: u32 = 120;

/// What there is to do without KVM.
const WITHOUT: &str = "--stage1-option=accel=tcg emulates a processor, which is slower; accel = \"auto\" under \
                       [options.kvm] in stage1.toml does so for all pods where KVM does not work";

/// What runs the guest's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Processor {
    /// This host's.
    Kvm {
        /// How many seconds the guest has to speak.
        patience: u32,
        /// What there is to do where it does not.
        hint: Option<&'static str>,
    },
    /// An emulated one.
    Emulated {
        /// Why.
        why: &'static str,
    },
}

impl Processor {
    /// As the option `accel` says, `kvm`, `tcg` or `auto`; without it as `kvm`, but where KVM did not work.
    ///
    /// # Errors
    /// There is no such option, or no KVM, and nothing is said of emulation.
    pub(crate) fn choose(pod: &Pod, facts: &dyn Facts) -> Result<Self, Problem> {
        let accel = pod.setting("accel");
        match accel {
            None | Some("kvm" | "auto") => {}
            Some("tcg") => return Ok(Self::Emulated { why: "as is asked for" }),
            Some(other) => {
                let problem = Problem::new(format!("accel is {other:?}"));
                return Err(problem.hint("it can be `kvm`, `tcg` or `auto`"));
            }
        }
        let is_auto = accel == Some("auto");
        match facts.device(KVM) {
            Device::Works => Ok(Self::Kvm { patience: PATIENCE_WHERE_IT_WORKS, hint: None }),
            Device::Absent if is_auto => Ok(Self::Emulated { why: "there is no /dev/kvm" }),
            Device::Absent => Err(Problem::new(format!("there is no {KVM}")).hint(WITHOUT)),
            Device::Fails if is_auto => Ok(Self::Emulated { why: "a guest that used /dev/kvm did not speak" }),
            Device::Fails if accel.is_none() => {
                let problem = Problem::new(format!("{KVM} does not work here: a guest that used it did not speak"));
                Err(problem.hint(format!("{WITHOUT}; accel=kvm tries it again")))
            }
            Device::Fails | Device::Untried => {
                let hint = if is_auto { "the next run emulates a processor" } else { WITHOUT };
                Ok(Self::Kvm { patience: PATIENCE, hint: Some(hint) })
            }
        }
    }

    /// Says what runs the machine's code, and how long that may take to be heard of.
    pub(crate) fn plan(self, machine: &mut Program) {
        match self {
            Self::Kvm { patience, hint } => {
                machine.speaks_within(patience, hint).arguments(["-accel", "kvm", "-cpu", "host"]);
                machine.jail().device(KVM);
            }
            Self::Emulated { .. } => {
                machine.speaks_within(PATIENCE_OF_EMULATION, None).arguments(["-accel", "tcg,tb-size=128"]);
            }
        }
    }

    /// Says what whoever reads the plan may not expect.
    pub(crate) fn note(self, plan: &mut Plan) {
        if let Self::Emulated { why } = self {
            plan.note(format!("the processor is emulated: {why}"));
        }
    }
}
