//! What products, locations and carriers have in common: put by name, read, listed.

use axum::http::StatusCode;
use axum::response::Response;
use compact_str::CompactString;
use consign_domain::ids::InvalidId;
use consign_orchestrator::Put;
use serde::Serialize;

use crate::answer;
use crate::fields::{At, Faults};
use crate::problem::Problem;

/// The name in the path; the body may repeat it, and must not contradict it.
pub fn name<T: std::str::FromStr<Err = InvalidId>>(
    faults: &mut Faults,
    member: &str,
    path: &str,
    body: Option<&CompactString>,
) -> Option<T> {
    let at = At::Root;
    let at = at.field(member);
    if let Some(body) = body
        && body != path
    {
        faults.add(
            &at,
            "mismatch",
            format!(
                "must be \"{}\" as in the path, or left out",
                crate::problem::shown(path)
            ),
        );
    }
    faults.id(&at, path)
}

/// 201 for what is new, 200 for what changed or stayed.
///
/// # Errors
/// Never in practice, see [`answer::json`].
pub fn put<T>(
    put: &Put<T>,
    version: u64,
    path: &str,
    body: &impl Serialize,
) -> Result<Response, Problem> {
    let status = if put.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let response = answer::versioned(status, version, body)?;
    let response = if put.created {
        answer::located(response, path)
    } else {
        response
    };
    Ok(answer::replayed(response, put.replayed))
}
