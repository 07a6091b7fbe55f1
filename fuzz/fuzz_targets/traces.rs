#![no_main]

libfuzzer_sys::fuzz_target!(init: throng_fuzz::plant(), |bytes: &[u8]| throng_fuzz::traces::run(bytes));
