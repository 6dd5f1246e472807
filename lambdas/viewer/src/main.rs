//! The viewer Lambda.

use std::process::ExitCode;

fn main() -> ExitCode {
    // the service in this crate is whole; what a deployment needs beside it is the OpenSearch session store
    eprintln!("skycap viewer: this version has no session store for AWS; use skycap local");
    ExitCode::FAILURE
}
