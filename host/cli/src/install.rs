//! Where rkt's other programs are: beside its own, in `../libexec/rkt`.

use std::path::PathBuf;

use rkt_plan::Trust;

use crate::report::Failure;

/// The static program that becomes monitor and init.
pub(crate) fn monitor() -> Result<PathBuf, Failure> {
    program("monitor")
}

/// The program in which plugins run: a static one for components, another for native code.
pub(crate) fn planner(trust: Trust) -> Result<PathBuf, Failure> {
    program(match trust {
        Trust::Wasm => "planner",
        Trust::Native => "planner-native",
    })
}

/// The compiler of plugins.
pub(crate) fn compiler() -> Result<PathBuf, Failure> {
    program("compiler")
}

fn program(name: &str) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let prefix = own.parent().and_then(|bin| bin.parent());
    let path = prefix.map(|prefix| prefix.join("libexec/rkt").join(name));
    match path {
        Some(path) if path.is_file() => Ok(path),
        _ => {
            let looked = path.map_or_else(|| own.display().to_string(), |path| path.display().to_string());
            Err(Failure::said(format!("rkt is not wholly installed: there is no {looked}"))
                .hint("`cargo xtask build` makes all programs, and `cargo xtask install PREFIX` puts them in place"))
        }
    }
}
