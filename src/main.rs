//! The `runner-prep` program.

fn main() {}
