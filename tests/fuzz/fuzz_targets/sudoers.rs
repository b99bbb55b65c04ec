#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::sudoers(data));

#[path = "../properties.rs"]
#[allow(dead_code)]
mod properties;
