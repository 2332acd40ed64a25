//! What the hello image runs.

fn main() {
    println!("Hello, world!");
}
