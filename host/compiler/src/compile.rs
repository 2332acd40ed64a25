//! From a component to an artifact.

use rkt_plan::Trust;
use rkt_planner::artifact::{Artifact, Header, digest};
use rkt_planner::{Refusal, engine};
use wasmtime::{Config, Engine};

use crate::inspect::Declaration;

/// The bytes of the artifact.
pub(crate) fn compile(component: &[u8], declaration: Declaration) -> Result<Vec<u8>, Refusal> {
    let uncompilable = |cause: wasmtime::Error| Refusal::Uncompilable { why: format!("{cause:#}") };
    let engine = config().and_then(|config| Engine::new(&config)).map_err(uncompilable)?;
    let code = engine.precompile_component(component).map_err(uncompilable)?;
    let header = Header {
        component: digest(component),
        trust: Trust::Wasm,
        contract: declaration.contract,
        permissions: declaration.permissions,
        engine: engine::id(),
        code: digest(&code),
    };
    Ok(Artifact { header, code: &code }.to_bytes())
}

/// The planner's settings, and those that only the making of code knows.
fn config() -> wasmtime::Result<Config> {
    let mut config = engine::config();
    // Naming the target means its least processor: what is built here is run elsewhere.
    config.target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?;
    // The bits of a NaN differ between processors, and a plan must not.
    config.cranelift_nan_canonicalization(true);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_empty_component_loads_with_the_planners_settings() {
        let declaration = Declaration { contract: "0.1.0".to_owned(), permissions: Vec::new() };
        let bytes = compile(&wat::parse_str("(component)").unwrap(), declaration).unwrap();
        let artifact = Artifact::read_verified(&bytes).unwrap();
        assert_eq!(Engine::detect_precompiled(artifact.code), Some(wasmtime::Precompiled::Component));
    }

    #[test]
    fn compiling_twice_gives_the_same_bytes() {
        let component = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        let declaration = || Declaration { contract: "0.1.0".to_owned(), permissions: Vec::new() };
        assert_eq!(compile(&component, declaration()).unwrap(), compile(&component, declaration()).unwrap());
    }
}
