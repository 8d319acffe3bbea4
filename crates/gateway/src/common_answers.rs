//! Answers that any route of business may give, written into the OpenAPI document in one place: they
//! come from the layers around the routes, which no route knows.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi as Document, Ref, RefOr, Response, ResponseBuilder};

use crate::cluster::{API, CLUSTER};
use crate::problem::PROBLEM_JSON;

/// What 503 says there.
const UNAVAILABLE: &str = "`outcome_unknown`, `cluster_unreachable`, `not_serving`: send it again with the same `Idempotency-Key` after `Retry-After`. `node_taken_out`: this node is not in the cluster any more, and did nothing; ask another one. `disk_unknown`: nor is it with the disk on which it stands.";

/// The document with those answers, where a route has none of its own for the status.
pub fn with_common_answers(mut document: Document) -> Document {
    let is_business = |path: &str| path.starts_with(API) && !path.starts_with(CLUSTER);
    let paths = document.paths.paths.iter_mut();
    for (_, item) in paths.filter(|(path, _)| is_business(path)) {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            add(operation, "503", UNAVAILABLE);
        }
    }
    document
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let answers = &mut operation.responses.responses;
    let answer = answers.entry(status.to_owned());
    answer.or_insert_with(|| RefOr::T(problem(description)));
}

fn problem(description: &str) -> Response {
    let content = Content::new(Some(Ref::from_schema_name("Problem")));
    ResponseBuilder::new()
        .description(description)
        .content(PROBLEM_JSON, content)
        .build()
}
