//! `/api/fields`: the catalogue, in the shape that Arkime's clients read.

use axum::Json;
use serde_json::{Map, Value, json};
use skycap_model::{Field, Kind, Shape};
use skycap_protocols::catalogue;

use crate::Parameters;

/// With `array=1` a list, else a map by document path.
pub(crate) async fn list(parameters: Parameters) -> Json<Value> {
    let rows = catalogue().fields().iter().filter(|field| field.shape != Shape::Object).map(describe);
    if parameters.is_set("array") {
        return Json(rows.collect());
    }
    let by_path: Map<String, Value> = rows
        .map(|row| {
            let key = [&row["dbField2"], &row["exp"]]
                .into_iter()
                .find_map(|name| name.as_str().filter(|name| !name.is_empty()));
            (key.unwrap_or_default().to_owned(), row)
        })
        .collect();
    Json(Value::Object(by_path))
}

fn describe(field: &Field) -> Value {
    let kind = match field.kind {
        Kind::Term | Kind::Boolean => "termfield",
        Kind::LowerTerm => "lotermfield",
        Kind::UpperTerm => "uptermfield",
        Kind::Words => "lotextfield",
        Kind::Integer => "integer",
        Kind::Ip => "ip",
        Kind::Date => "seconds",
    };
    let mut row = json!({
        "exp": field.expression,
        "dbField": field.path,
        "dbField2": field.path,
        "fieldECS": field.path,
        "friendlyName": field.name,
        "group": field.group,
        "help": field.help,
        "type": kind,
    });
    if let Some(category) = field.category {
        row["category"] = json!(format!("{category:?}").to_lowercase());
    }
    if let Some(port) = field.port {
        row["portField"] = json!(port);
    }
    if !field.aliases.is_empty() {
        row["aliases"] = json!(field.aliases);
    }
    if field.unsearched {
        row["noFacet"] = json!("true");
    }
    row
}
