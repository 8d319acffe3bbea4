//! The admin port: the cluster's operations behind tokens, apart from the port of clients.
//!
//! In: requests of operators. Out: the handlers that the public port has, for those who show a token;
//! 401 for all others. Whether a node lives and is ready is told to anybody, and nothing else: what
//! this port serves is closed unless it is named here as open. A token is kept as its hash, and never
//! stands in a log, a message or an answer.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use consign_orchestrator::Consign;
use metrics::Counter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::cluster;
use crate::edge::EdgeLayer;
use crate::gateway::{Gateway, GatewayOptions};
use crate::operations;
use crate::problem::{Problem, shown};

/// What load balancers ask, who have no token.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// How a token is presented (RFC 6750).
const SCHEME: &str = "Bearer";

/// The tokens that an admin port takes; cheap to clone, and all clones change together.
#[derive(Clone)]
pub struct AdminTokens(Arc<ArcSwap<Vec<blake3::Hash>>>);

impl AdminTokens {
    /// Takes any of these.
    pub fn new<'a>(tokens: impl IntoIterator<Item = &'a str>) -> AdminTokens {
        AdminTokens(Arc::new(ArcSwap::from_pointee(hashes_of(tokens))))
    }

    /// Takes any of these from now on, and no others. Says whether that is a change.
    pub fn replace<'a>(&self, tokens: impl IntoIterator<Item = &'a str>) -> bool {
        let hashes = hashes_of(tokens);
        let changes = **self.0.load() != hashes;
        if changes {
            self.0.store(Arc::new(hashes));
        }
        changes
    }

    /// Whether this is one of them. How long that takes says nothing about how near it is: hashes
    /// are compared, in constant time, and always with every token.
    #[must_use]
    pub fn know(&self, presented: &[u8]) -> bool {
        let presented = blake3::hash(presented);
        self.0
            .load()
            .iter()
            .fold(false, |known, token| known | (*token == presented))
    }
}

fn hashes_of<'a>(tokens: impl IntoIterator<Item = &'a str>) -> Vec<blake3::Hash> {
    let hashes = tokens.into_iter().map(|t| blake3::hash(t.as_bytes()));
    hashes.collect()
}

/// Hashes are not shown either.
impl fmt::Debug for AdminTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.load().len())
    }
}

/// The gateway of the admin port: the routes of the cluster and metrics, behind tokens. Its bounds
/// are as the public port's, and its own: a rush of clients does not keep operators out.
pub fn admin_router(consign: Consign, options: GatewayOptions, tokens: AdminTokens) -> Router {
    let edge = EdgeLayer::admin(&options);
    let (routes, _) = OpenApiRouter::new()
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(cluster::cluster))
        .merge(cluster::changes())
        .split_for_parts();
    routes
        .fallback(|method: Method, uri: Uri| async move { no_admin_route(&method, uri.path()) })
        .with_state(Gateway::new(consign, options))
        .layer(from_fn_with_state(Guard::new(tokens), guard))
        .layer(edge)
}

/// What stands before the routes of the admin port.
#[derive(Clone)]
struct Guard {
    tokens: AdminTokens,
    missing: Counter,
    unknown: Counter,
}

impl Guard {
    fn new(tokens: AdminTokens) -> Guard {
        let refusals = |reason: &'static str| metrics::counter!("consign_admin_refusals_total", "reason" => reason);
        Guard {
            tokens,
            missing: refusals("missing"),
            unknown: refusals("unknown"),
        }
    }

    fn check(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let Some(token) = bearer(headers) else {
            self.missing.increment(1);
            return Err(unauthorized(
                "admin_token_missing",
                "the admin port wants one header `Authorization: Bearer TOKEN`, with a token of this node's `admin.token_file`",
            ));
        };
        if self.tokens.know(token) {
            return Ok(());
        }
        self.unknown.increment(1);
        Err(unauthorized(
            "admin_token_unknown",
            "the token is none of this node's `admin.token_file` as it is now",
        ))
    }
}

async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if !OPEN.contains(&request.uri().path())
        && let Err(problem) = guard.check(request.headers())
    {
        return problem.into_response();
    }
    next.run(request).await
}

/// The token of a request. Two headers are none: which of them counts would be a guess.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, more) = (values.next()?.as_bytes(), values.next());
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let token = token.strip_prefix(b" ")?.trim_ascii();
    let is_one = more.is_none() && !token.is_empty();
    (is_one && scheme.eq_ignore_ascii_case(SCHEME.as_bytes())).then_some(token)
}

fn unauthorized(code: &'static str, detail: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail)
}

fn no_admin_route(method: &Method, path: &str) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        format!(
            "there is nothing at {method} {} of the admin port: it has /v1/cluster, /metrics, /healthz and /readyz, the rest is on the port for clients",
            shown(path)
        ),
    )
}

/// What a change of the cluster meets on the public port of a node that has an admin port.
pub async fn elsewhere(State(port): State<u16>, _request: Request, _next: Next) -> Problem {
    Problem::new(
        StatusCode::FORBIDDEN,
        "admin_port_only",
        format!(
            "this port is for clients; send the request to this node's admin port, {port}, with `Authorization: Bearer TOKEN`"
        ),
    )
    .with("admin_port", port)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "fedcba9876543210fedcba9876543210";

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, value.parse().expect("a header's value"));
        }
        headers
    }

    #[test]
    fn any_token_of_the_file_is_known_and_nothing_else() {
        let guard = Guard::new(AdminTokens::new([OLD, NEW]));
        for token in [OLD, NEW] {
            for scheme in ["Bearer", "bearer", "BEARER"] {
                let given = headers(&[&format!("{scheme} {token}")]);
                guard.check(&given).expect("a known token");
            }
        }
        for (values, code) in [
            (vec![], "admin_token_missing"),
            (vec![""], "admin_token_missing"),
            (vec![OLD], "admin_token_missing"),
            (vec!["Bearer"], "admin_token_missing"),
            (vec!["Bearer "], "admin_token_missing"),
            (vec!["Basic MTIzNDU2Nzg5"], "admin_token_missing"),
            (
                vec!["Bearer 0123456789abcdef0123456789abcde"],
                "admin_token_unknown",
            ),
            (
                vec!["Bearer 0123456789ABCDEF0123456789ABCDEF"],
                "admin_token_unknown",
            ),
        ] {
            let problem = guard.check(&headers(&values)).expect_err("refused");
            assert_eq!(
                (problem.status.as_u16(), problem.code.as_ref()),
                (401, code)
            );
        }
        let both = headers(&[&format!("Bearer {OLD}"), &format!("Bearer {NEW}")]);
        assert!(guard.check(&both).is_err(), "two headers");
        let none = Guard::new(AdminTokens::new([]));
        assert!(none.check(&headers(&[&format!("Bearer {OLD}")])).is_err());
    }

    #[test]
    fn a_replaced_token_is_known_no_more_by_whoever_holds_them() {
        let tokens = AdminTokens::new([OLD]);
        let theirs = tokens.clone();
        assert!(!tokens.replace([OLD]), "nothing has changed");
        assert!(tokens.replace([NEW]));
        assert!(theirs.know(NEW.as_bytes()) && !theirs.know(OLD.as_bytes()));
    }

    #[test]
    fn tokens_are_not_shown() {
        let shown = format!("{:?}", AdminTokens::new([OLD, NEW]));
        assert_eq!(shown, "2 tokens");
    }
}
