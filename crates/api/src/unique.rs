//! `/api/unique`: the values of a field, a line each, with their number of sessions where asked for.

use std::sync::Arc;

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use skycap_model::Resolved;
use skycap_protocols::catalogue;
use skycap_store::{Aggregation, BucketKey};

use crate::{ApiError, Parameters, SessionsRequest, Viewer};

/// Most values that one answer holds.
const MAX_VALUES: usize = 100_000;

/// Text lines `value` or, with `counts=1`, `value, count`; line breaks inside values are written as spaces.
pub(crate) async fn list(State(viewer): State<Arc<Viewer>>, parameters: Parameters) -> Result<Response, ApiError> {
    let name = parameters
        .text("exp")
        .or_else(|| parameters.text("field"))
        .ok_or_else(|| ApiError::invalid("exp (a field's name in expressions) or field (its path) is missing"))?;
    let Some(Resolved::Field(field)) = catalogue().resolve(name) else {
        let near =
            catalogue().nearest(name, 1).first().map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        return Err(ApiError::invalid(format!("there is no field {name:?}{near}")));
    };
    let request = SessionsRequest::read(&parameters, &viewer).await?;
    let mut counted = std::collections::BTreeMap::<String, u64>::new();
    for member in catalogue().members(field) {
        let terms = Aggregation::Terms { field: member, size: MAX_VALUES };
        for bucket in viewer.sessions.aggregate(&viewer.scope, &request.expression, &terms).await? {
            let value = match bucket.key {
                BucketKey::Text(text) => text.replace(['\n', '\r'], " "),
                BucketKey::Integer(number) => number.to_string(),
            };
            *counted.entry(value).or_default() += bucket.sessions;
        }
    }
    let mut rows: Vec<(String, u64)> = counted.into_iter().collect();
    rows.sort_by(|left, right| right.1.cmp(&left.1).then_with(|| left.0.cmp(&right.0)));
    let counts = parameters.is_set("counts");
    let lines = rows
        .into_iter()
        .map(|(value, count)| if counts { format!("{value}, {count}\n") } else { format!("{value}\n") });
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], lines.collect::<String>()).into_response())
}
