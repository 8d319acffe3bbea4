//! Goods that are to come to a location: announced, changed, taken back. A receipt that names the
//! same paper takes from what was announced.

use axum::extract::{Path, State};
use compact_str::CompactString;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::location::Announcement;
use consign_orchestrator::InventoryCommand;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Answered;
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::inventory::{MOVEMENT_UNITS_MAX, MovedBody, moved};
use crate::orders::changes::dated;
use crate::orders::dto::Nothing;
use crate::problem::ProblemBody;
use crate::submission::Submission;
use crate::time_text::TimeText;

/// Goods that are to come.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AnnounceDto {
    /// Units that are still to come.
    #[schema(example = 40)]
    quantity: u32,
    /// When they should be there.
    #[schema(value_type = String, example = "2026-12-20T09:00:00Z")]
    expected_at: CompactString,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What is announced.
#[derive(Serialize, ToSchema)]
#[schema(as = Announcement)]
pub struct AnnouncementBody<'a> {
    reference: &'a str,
    /// Units that have not come.
    quantity: u32,
    #[schema(value_type = String)]
    expected_at: TimeText,
}

impl<'a> AnnouncementBody<'a> {
    /// As it is shown.
    #[must_use]
    pub fn of(announcement: &'a Announcement) -> AnnouncementBody<'a> {
        AnnouncementBody {
            reference: &announcement.reference,
            quantity: announcement.quantity,
            expected_at: TimeText(announcement.expected_at),
        }
    }
}

/// Who, what, and by which paper.
type Named = (Option<LocationId>, Option<(Sku, CompactString)>);

fn named(faults: &mut Faults, (location, sku, reference): (String, String, String)) -> Named {
    let root = At::Root;
    let is_text = faults.text(&root.field("reference"), &reference, TEXT_BYTES_MAX);
    let location = faults.id(&root.field("location"), &location);
    let sku: Option<Sku> = faults.id(&root.field("sku"), &sku);
    (
        location,
        sku.filter(|_| is_text).map(|sku| (sku, reference.into())),
    )
}

/// Announces goods, or says anew how much of them is to come and when. At most 32 announcements of a
/// SKU stand at a location.
#[utoipa::path(put, path = "/v1/locations/{id}/incoming/{sku}/{reference}", tag = "inventory",
    params(("id" = String, Path), ("sku" = String, Path),
        ("reference" = String, Path, description = "The paper, e.g. a purchase order: the `reference` of the receipts")),
    request_body = AnnounceDto, responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn announce(
    State(gateway): State<Gateway>,
    Path(path): Path<(String, String, String)>,
    Submission { body, call }: Submission<AnnounceDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let (location, what) = named(&mut faults, path);
    let quantity = body.quantity;
    faults.range(&root.field("quantity"), quantity, 1, MOVEMENT_UNITS_MAX);
    let expected_at = faults.time(&root.field("expected_at"), &body.expected_at);
    let command = what
        .zip(expected_at)
        .map(|((sku, reference), expected_at)| {
            let command = InventoryCommand::Announce {
                sku: sku.clone(),
                reference,
                quantity,
                expected_at,
            };
            (sku, command)
        });
    moved(&gateway, faults, location, command, call).await
}

/// Announced goods will not come. Nothing happens when none are announced under this paper.
#[utoipa::path(delete, path = "/v1/locations/{id}/incoming/{sku}/{reference}", tag = "inventory",
    params(("id" = String, Path), ("sku" = String, Path), ("reference" = String, Path)), responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn end(
    State(gateway): State<Gateway>,
    Path(path): Path<(String, String, String)>,
    Submission { body, call }: Submission<Nothing>,
) -> Answered {
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let (location, what) = named(&mut faults, path);
    let command = what.map(|(sku, reference)| {
        let command = InventoryCommand::EndAnnouncement {
            sku: sku.clone(),
            reference,
        };
        (sku, command)
    });
    moved(&gateway, faults, location, command, call).await
}
