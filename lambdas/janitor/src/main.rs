//! The janitor Lambda: completes unfinished uploads of dead sensors once their lease is over.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("skycap janitor: this version has no live sensors whose uploads it would rescue");
    ExitCode::FAILURE
}
