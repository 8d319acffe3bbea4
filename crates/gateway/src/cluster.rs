//! The cluster as a node sees it, and reads that miss nothing that another node has acknowledged.

use std::time::Duration;

use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use consign_orchestrator::GroupStatus;
use serde::{Deserialize, Serialize};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::answer::{self, Answered};
use crate::gateway::Gateway;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// Paths below this show what entities are.
pub const API: &str = "/v1/";
/// The routes that say how this node stands, whatever the others do.
pub const CLUSTER: &str = "/v1/cluster";
/// How long a change of the cluster goes on in one request.
const CHANGE_WITHIN: Duration = Duration::from_secs(20);
/// Placing looks up by itself what it misses, and an order is not read before it is placed.
const PLACING: [&str; 2] = ["/v1/orders", "/v1/orders/batch"];
/// What is answered from a node's own view, and looks up by itself what that misses.
const OWN_VIEW: &str = "/v1/availability";

/// How a partition stands.
#[derive(Serialize, utoipa::ToSchema)]
pub struct PartitionBody {
    /// Which.
    partition: u16,
    /// The node that leads it; null when nobody is known to.
    leader: Option<u64>,
    /// Counts elections.
    term: u64,
    /// Whether the node that says so was taken out of it; the rest is what it saw last.
    taken_out: bool,
    /// Nodes that vote.
    voters: Vec<u64>,
    /// Nodes that only listen.
    learners: Vec<u64>,
    /// Entries in the log here.
    last_index: u64,
    /// Entries applied here.
    applied_index: u64,
}

/// A node of the cluster.
#[derive(Serialize, utoipa::ToSchema)]
pub struct MemberBody {
    /// Its number.
    node: u64,
    /// Where other nodes reach it.
    address: String,
}

/// The cluster as a node sees it.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ClusterBody {
    /// The node that says so.
    node: u64,
    /// Whether it was taken out of the cluster, or of a part of it; it refuses clients then.
    taken_out: bool,
    /// Whether the others know it by another disk than the one on which it stands; it refuses clients then.
    disk_unknown: bool,
    /// Nodes that come with another disk than the one by which it knows them; nothing of them counts.
    other_disks: Vec<u64>,
    /// All nodes that it knows of.
    members: Vec<MemberBody>,
    /// All partitions.
    partitions: Vec<PartitionBody>,
}

impl From<GroupStatus> for PartitionBody {
    fn from(group: GroupStatus) -> PartitionBody {
        PartitionBody {
            partition: group.partition,
            leader: group.leader,
            term: group.term,
            taken_out: group.taken_out,
            voters: group.voters,
            learners: group.learners,
            last_index: group.last_index,
            applied_index: group.applied_index,
        }
    }
}

/// The routes that change the cluster, wherever they are served.
pub fn changes() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(lead))
}

/// Who leads what, and how far this node's replicas are. The admin port wants a token for it.
#[utoipa::path(get, path = "/v1/cluster", tag = "operations", security((), ("admin_token" = [])), responses(
    (status = 200, body = ClusterBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn cluster(State(gateway): State<Gateway>) -> Answered {
    let (node, groups) = gateway.consign.replicas();
    let disks = gateway.consign.disk_status();
    let mut members: Vec<MemberBody> = Vec::new();
    for (node, address) in groups.iter().flat_map(|group| &group.members) {
        if members.iter().all(|known| known.node != *node) {
            members.push(MemberBody {
                node: *node,
                address: address.clone(),
            });
        }
    }
    members.sort_by_key(|member| member.node);
    let body = ClusterBody {
        node,
        taken_out: groups.iter().any(|group| group.taken_out),
        disk_unknown: disks.is_unknown,
        other_disks: disks.strange,
        members,
        partitions: groups.into_iter().map(PartitionBody::from).collect(),
    };
    answer::json(StatusCode::OK, &body)
}

/// A node that is to be taken in.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinDto {
    /// Its number.
    node: u64,
    /// Where other nodes reach it, `host:port`.
    address: String,
}

/// Who is to lead what.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeadDto {
    /// The partition.
    partition: u16,
    /// The node.
    node: u64,
}

/// How far a change of the cluster has come.
#[derive(Serialize, utoipa::ToSchema)]
pub struct ChangeBody {
    /// Partitions in which it is not done yet: ask again.
    partitions_left: usize,
}

fn changed(partitions_left: usize) -> Answered {
    let status = match partitions_left {
        0 => StatusCode::OK,
        _ => StatusCode::ACCEPTED,
    };
    answer::json(status, &ChangeBody { partitions_left })
}

/// Takes a node in, or goes on doing so; 202 means that it is not in everywhere yet: ask again.
#[utoipa::path(post, path = "/v1/cluster/members", tag = "operations", security(("admin_token" = [])), request_body = JoinDto, responses(
    (status = 200, body = ChangeBody), (status = 202, body = ChangeBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`node_taken_out`, `disk_unknown`, `not_serving`: ask another node", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn join(
    State(gateway): State<Gateway>,
    Submission { body, .. }: Submission<JoinDto>,
) -> Answered {
    if body.node == 0 || body.address.rsplit_once(':').is_none() {
        let detail = "`node` is a number from 1, `address` is \"host:port\"";
        return Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "validation_failed",
            detail,
        ));
    }
    let consign = &gateway.consign;
    changed(
        consign
            .cluster_join(body.node, &body.address, CHANGE_WITHIN)
            .await?,
    )
}

/// Takes a node out, dead or alive, or goes on doing so; one that runs gives its leads away first.
#[utoipa::path(delete, path = "/v1/cluster/members/{node}", tag = "operations",
    security(("admin_token" = [])), params(("node" = u64, Path)), responses(
    (status = 200, body = ChangeBody), (status = 202, body = ChangeBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`node_taken_out`, `disk_unknown`, `not_serving`: ask another node", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn leave(State(gateway): State<Gateway>, Path(node): Path<u64>) -> Answered {
    changed(gateway.consign.cluster_leave(node, CHANGE_WITHIN).await?)
}

/// Has a node lead a partition.
#[utoipa::path(post, path = "/v1/cluster/leaders", tag = "operations", security(("admin_token" = [])), request_body = LeadDto, responses(
    (status = 200, body = ChangeBody), (status = 202, body = ChangeBody),
    (status = 401, body = ProblemBody, content_type = "application/problem+json"),
    (status = 403, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, body = ProblemBody, content_type = "application/problem+json"),
    (status = 503, description = "`node_taken_out`, `disk_unknown`, `not_serving`: ask another node", body = ProblemBody, content_type = "application/problem+json")))]
pub async fn lead(
    State(gateway): State<Gateway>,
    Submission { body, .. }: Submission<LeadDto>,
) -> Answered {
    let consign = &gateway.consign;
    let leads = consign
        .cluster_lead(body.partition, body.node, CHANGE_WITHIN)
        .await?;
    changed(usize::from(!leads))
}

/// Before a request looks at anything, this node hears all that was acknowledged anywhere: any node
/// may be asked, and none shows a copy that is behind, but where it says so. One that was taken out of the cluster does nothing.
pub async fn read_first(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_business = path.starts_with(API) && !path.starts_with(CLUSTER);
    if is_business && let Err(error) = gateway.consign.ensure_in() {
        return Problem::from(error).into_response();
    }
    let places = request.method() == Method::POST && PLACING.contains(&path);
    let looks = is_business && !places && !path.starts_with(OWN_VIEW);
    if looks && let Err(error) = gateway.consign.read().await {
        return Problem::from(error).into_response();
    }
    next.run(request).await
}
