//! One file a command.

mod dissect;
mod fields;
mod generate;
mod local;
mod pack;
mod pcap;
mod search;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::arguments::{Arguments, Command};

/// Exit code where the work was done but some input was damaged or left out.
pub(crate) const DAMAGED: u8 = 3;

/// Most bytes that one input may have after decompression.
pub(crate) const INPUT_LIMIT_BYTES: u64 = 1 << 40;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    match arguments.command {
        Command::Local(command) => runtime()?.block_on(local::run(&arguments.data, command)),
        Command::Search(command) => runtime()?.block_on(search::run(&arguments.data, command)),
        Command::Pcap(command) => runtime()?.block_on(pcap::run(&arguments.data, command)),
        Command::Dissect(command) => dissect::run(&command),
        Command::Pack(command) => pack::run(&command),
        Command::Generate(command) => generate::run(&command),
        Command::Fields(command) => fields::run(&command),
        Command::HelpMarkdown => fields::help_markdown(),
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")
}
