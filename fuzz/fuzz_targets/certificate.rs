#![cfg_attr(fuzzing, no_main)]
skycap_fuzz::libfuzzer!(certificate);
