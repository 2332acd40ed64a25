//! The settings of the Wasm engine: what the compiler program and the planner have to agree on.

use wasmtime::{Config, ModuleVersionStrategy};

/// The engine's version. A test holds it to what Cargo.lock says.
pub const VERSION: &str = "48.0.8";

/// Linear memory that a plugin may have, in bytes. It is reserved at once, so that it never moves.
pub const MEMORY: u64 = 64 << 20;

/// Stack of a plugin's functions, in bytes.
pub const STACK: usize = 512 << 10;

/// Settings that shape compiled code. Code made with others is refused when it is loaded.
pub fn config() -> Config {
    let mut config = Config::new();
    config.module_version(ModuleVersionStrategy::Custom(id())).expect("an id is far shorter than 256 bytes");
    // Fuel and not time: an endless loop ends with the same error on every machine.
    config.consume_fuel(true);
    config.max_wasm_stack(STACK);
    // Checks in the code instead of guard pages and signal handlers: quicker to set up, and a fault
    // is what it looks like, a broken engine. Memory is then a plain mapping of a known size.
    config.signals_based_traps(false);
    config.memory_reservation(MEMORY);
    config.memory_reservation_for_growth(0);
    config.memory_guard_size(0);
    config.guard_before_linear_memory(false);
    config.memory_may_move(false);
    // Plugins run once: copying a few pages of data is cheaper than a file to map them from.
    config.memory_init_cow(false);
    config.table_lazy_init(false);
    // A plan has to be the same on every machine.
    config.wasm_relaxed_simd(false);
    config.wasm_memory64(false);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

/// Names this engine with these settings, for compiled code to say what it was made for: version,
/// processor, and a hash of this file.
pub fn id() -> String {
    const SETTINGS: u64 = fnv1a(include_bytes!("engine.rs"));
    format!("wasmtime-{VERSION}-{}-{SETTINGS:016x}", std::env::consts::ARCH)
}

/// FNV-1a, 64 bits: enough to tell one version of a file from another.
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x0100_0000_01b3);
        index += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{VERSION}\"\n")), "adjust VERSION");
    }

    #[test]
    fn the_engine_takes_the_settings() {
        wasmtime::Engine::new(&config()).unwrap();
    }
}
