//! Values of `config.toml` that a profile may set, and their types.
