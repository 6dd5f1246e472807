//! `skycap fields`: the catalogue as a table, or as the page docs/fields.md.

use std::{io::Write, process::ExitCode};

use anyhow::Result;
use clap::{Arg, CommandFactory};
use skycap_model::{Field, Kind, Shape};
use skycap_protocols::{PROTOCOLS, catalogue};

use crate::{
    arguments::{Arguments, Fields},
    table,
};

pub(crate) fn run(command: &Fields) -> Result<ExitCode> {
    let mut fields: Vec<&Field> = catalogue().fields().iter().filter(|field| field.shape != Shape::Object).collect();
    fields.sort_by_key(|field| (field.group, field.expression));
    let mut out = std::io::stdout().lock();
    if command.markdown {
        out.write_all(markdown(&fields).as_bytes())?;
    } else {
        let header = ["expression", "document path", "kind", "shape", "help"].map(str::to_owned);
        let rows: Vec<Vec<String>> = fields.iter().map(|field| row(field).to_vec()).collect();
        out.write_all(table::render(&header, &rows).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn row(field: &Field) -> [String; 5] {
    let kind = match field.kind {
        Kind::Term => "text",
        Kind::LowerTerm => "text, lower case",
        Kind::UpperTerm => "text, upper case",
        Kind::Words => "words",
        Kind::Integer => "number",
        Kind::Ip => "address",
        Kind::Date => "date (ms)",
        Kind::Boolean => "true or false",
    };
    let shape = match field.shape {
        Shape::One => "one",
        Shape::Set => "set",
        Shape::List => "list",
        Shape::Object => "objects",
        Shape::Virtual => "any of several",
    };
    let mut notes = vec![shape];
    if field.counted {
        notes.push("counted");
    }
    if field.tokens {
        notes.push("tokens");
    }
    if field.optional {
        notes.push("optional");
    }
    [field.expression.to_owned(), field.path.to_owned(), kind.to_owned(), notes.join(", "), field.help.to_owned()]
}

fn markdown(fields: &[&Field]) -> String {
    let mut text = String::from(
        "# Fields\n\n\
         Made by `skycap fields --markdown`; `make docs` writes it again. *Counted* fields have their number of values beside\n\
         them (`name.cnt`), *tokens* fields a search by word (`name.tokens`), *optional* ones are written with `--all-fields` only.\n\n\
         ## Protocols\n\n| protocol | about |\n|---|---|\n",
    );
    for protocol in PROTOCOLS {
        text.push_str(&format!("| `{}` | {} |\n", protocol.name, escape(protocol.about)));
    }
    let mut group = "";
    for field in fields {
        if field.group != group {
            group = field.group;
            text.push_str(&format!(
                "\n## {group}\n\n| expression | document path | kind | shape | meaning |\n|---|---|---|---|---|\n"
            ));
        }
        let [expression, path, kind, shape, help] = row(field);
        let path = if path.is_empty() { String::from("-") } else { format!("`{path}`") };
        text.push_str(&format!("| `{expression}` | {path} | {kind} | {shape} | {} |\n", escape(&help)));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('|', "\\|")
}

/// docs/command-line.md: made from the same definitions as `--help`.
pub(crate) fn help_markdown() -> Result<ExitCode> {
    let mut command = Arguments::command();
    command.build();
    let mut text = format!(
        "# The command line\n\nMade by `skycap help-markdown`; `make docs` writes it again.\n\n{}\n",
        command.get_long_about().or_else(|| command.get_about()).map(ToString::to_string).unwrap_or_default()
    );
    for subcommand in
        command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set() && subcommand.get_name() != "help")
    {
        let about = subcommand.get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!(
            "\n## skycap {}\n\n{about}\n\n| argument | default | meaning |\n|---|---|---|\n",
            subcommand.get_name()
        ));
        for argument in
            subcommand.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version"))
        {
            text.push_str(&argument_row(argument));
        }
    }
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn argument_row(argument: &Arg) -> String {
    let name = match (argument.get_long(), argument.get_short()) {
        (Some(long), Some(short)) => format!("`-{short}`, `--{long}`"),
        (Some(long), None) => format!("`--{long}`"),
        _ => format!("`{}`", argument.get_id().as_str().to_uppercase()),
    };
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let default = if argument.get_action().takes_values() { defaults.join(" ") } else { String::new() };
    format!("| {name} | {} | {} |\n", default.replace("``", ""), escape(&help))
}
