#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| properties::key_pair(data));

#[path = "../properties.rs"]
#[allow(dead_code)]
mod properties;
