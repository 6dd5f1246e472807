//! `skycap search`: sessions as a table, JSON lines or CSV.

use std::{io::Write, path::Path, process::ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::{
    arguments::Search,
    client::{Client, read},
    table,
};

/// Sessions asked for at a time.
const PAGE: usize = 1_000;

const COLUMNS: &str = "firstPacket,ipProtocol,source.ip,source.port,destination.ip,destination.port,network.packets,network.bytes,protocol,id";

pub(crate) async fn run(data: &Path, command: Search) -> Result<ExitCode> {
    let client = Client::of(data).await?;
    let mut out = std::io::stdout().lock();
    if command.csv {
        let mut parameters = request(&command, 0, command.limit);
        if let Some(fields) = &command.fields {
            parameters["fields"] = json!(fields);
        }
        let response = client.post("/api/sessions/csv", &parameters).await?;
        out.write_all(&read(response).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let names: Vec<String> =
        command.fields.as_deref().unwrap_or(COLUMNS).split(',').map(|name| name.trim().to_owned()).collect();
    let mut rows = Vec::new();
    let mut shown = 0;
    let mut found = 0;
    while shown < command.limit {
        let size = PAGE.min(command.limit - shown);
        let response = client.post("/api/sessions", &request(&command, shown, size)).await?;
        let answer: Value = serde_json::from_slice(&read(response).await?).context("reading the answer")?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{error}");
        }
        found = answer["recordsFiltered"].as_u64().unwrap_or(0);
        let Some(page) = answer["data"].as_array().filter(|page| !page.is_empty()) else { break };
        shown += page.len();
        for session in page {
            if command.json {
                writeln!(out, "{session}")?;
            } else {
                rows.push(names.iter().map(|name| cell(session, name)).collect());
            }
        }
        if page.len() < size {
            break;
        }
    }
    if !command.json {
        out.write_all(table::render(&names, &rows).as_bytes())?;
        eprintln!("{shown} of {found} sessions");
    }
    Ok(ExitCode::SUCCESS)
}

fn request(command: &Search, start: usize, length: usize) -> Value {
    json!({ "expression": command.expression, "order": command.order, "date": "-1", "start": start.to_string(), "length": length.to_string() })
}

fn cell(session: &Value, name: &str) -> String {
    let line = skycap_api::csv_cells(session, name);
    if matches!(name, "firstPacket" | "lastPacket" | "starttime" | "stoptime")
        && let Ok(milliseconds) = line.parse::<u64>()
    {
        return skycap_model::Timestamp::from_milliseconds(milliseconds).to_string().replacen("000000Z", "Z", 1);
    }
    line
}
