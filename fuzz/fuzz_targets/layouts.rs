//! The law `layouts`; see `src/lib.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| nearfar_fuzz::layouts(data));
