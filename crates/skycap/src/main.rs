//! The `skycap` command: the whole pipeline on one machine, and the tools around it.

mod arguments;
mod client;
mod commands;
mod progress;
mod table;

use std::process::ExitCode;

use clap::Parser;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long freed memory is kept before it goes back to the system, milliseconds. The allocator's own 10 ms hand pages back
/// and forth while packets flow: measured, a quarter of all time went into clearing them.
const PURGE_DELAY_MS: i64 = 10_000;

/// `mi_option_purge_delay` of mimalloc 2 and 3.
const PURGE_DELAY_OPTION: libmimalloc_sys::mi_option_t = 15;

fn main() -> ExitCode {
    // SAFETY: sets a number inside the allocator; any thread may do so at any time.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY_OPTION, PURGE_DELAY_MS) };
    let arguments = arguments::Arguments::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("SKYCAP_LOG").unwrap_or_else(|_| "warn,skycap=info".into()),
        )
        .without_time()
        .with_target(false)
        .init();
    match commands::run(arguments) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skycap: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// `skycap … | head` closes our output: that is no error.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    })
}
