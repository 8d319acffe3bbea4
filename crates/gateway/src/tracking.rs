//! Carriers' reports in, a shipment's way out. Nothing personal leaves through a tracking number:
//! whoever has the number sees only where the parcel is.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use compact_str::CompactString;
use consign_domain::ids::TrackingNumber;
use consign_domain::order::{Order, ShipmentStatus};
use consign_orchestrator::Scan;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::orders::changes::dated;
use crate::orders::render_parts::TrackingEventBody;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// What a carrier reports.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrackingEventDto {
    /// The shipment's number.
    #[schema(value_type = String)]
    tracking_number: CompactString,
    /// `in_transit`, `out_for_delivery`, `delivery_attempted`, `exception`, `available_for_pickup`,
    /// `delivered`, `refused`, `lost`, `damaged`, `return_to_sender`, `returned`.
    #[schema(value_type = String, example = "delivered")]
    status: ShipmentStatus,
    /// When it happened; now if left out.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
    /// Where.
    #[schema(value_type = Option<String>)]
    place: Option<CompactString>,
    /// Why, for exceptions.
    #[schema(value_type = Option<String>)]
    reason: Option<CompactString>,
    /// Who signed.
    signature: Option<String>,
    /// Who reports; must be the shipment's carrier.
    #[schema(value_type = Option<String>)]
    carrier: Option<CompactString>,
}

/// A shipment's way.
#[derive(Serialize, ToSchema)]
#[schema(as = Tracking)]
pub struct TrackingBody<'a> {
    tracking_number: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[schema(value_type = String, example = "in_transit")]
    status: ShipmentStatus,
    signed: bool,
    events: Vec<TrackingEventBody<'a>>,
    version: u64,
}

impl<'a> TrackingBody<'a> {
    fn of(
        number: &'a TrackingNumber,
        order: &'a Order,
        shipment: u32,
    ) -> Result<TrackingBody<'a>, Problem> {
        let shipment = order
            .shipment(shipment)
            .ok_or_else(|| unknown(number.as_str()))?;
        Ok(TrackingBody {
            tracking_number: number.as_str(),
            carrier: shipment.carrier.as_ref().map(|c| c.as_str()),
            service: shipment.service.as_deref(),
            status: shipment.status,
            signed: shipment.signed,
            events: shipment
                .tracking
                .iter()
                .map(TrackingEventBody::of)
                .collect(),
            version: order.version,
        })
    }
}

fn unknown(number: &str) -> Problem {
    Problem::not_found("tracking_number", number)
}

/// Takes a carrier's report in: repeated, late, in any order.
#[utoipa::path(post, path = "/v1/tracking-events", tag = "tracking", request_body = TrackingEventDto, responses(
    (status = 200, body = TrackingBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn report(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<TrackingEventDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    for (name, text) in [("place", &body.place), ("reason", &body.reason)] {
        faults.text_if(&root.field(name), text.as_deref(), TEXT_BYTES_MAX);
    }
    faults.text_if(
        &root.field("signature"),
        body.signature.as_deref(),
        TEXT_BYTES_MAX,
    );
    let number: Option<TrackingNumber> =
        faults.id(&root.field("tracking_number"), &body.tracking_number);
    let number = faults.finish(number)?;
    let tracked = gateway
        .consign
        .tracked(&number)?
        .ok_or_else(|| unknown(number.as_str()))?;
    let carrier = tracked
        .order
        .shipment(tracked.shipment)
        .and_then(|s| s.carrier.as_ref());
    if let (Some(reporter), Some(carrier)) = (&body.carrier, carrier)
        && reporter != carrier.as_str()
    {
        let mut faults = Faults::default();
        let detail = format!("the shipment is carried by \"{carrier}\"");
        faults.add(&root.field("carrier"), "mismatch", detail);
        return Err(faults.problem());
    }
    let scan = Scan {
        status: body.status,
        place: body.place,
        reason: body.reason,
        signature: body.signature,
    };
    let outcome = gateway.consign.track(&number, scan, call).await?;
    let body = TrackingBody::of(&number, &outcome.order, tracked.shipment)?;
    let response = answer::versioned(StatusCode::OK, outcome.order.version, &body)?;
    Ok(answer::replayed(response, outcome.replayed))
}

/// Where a shipment is.
#[utoipa::path(get, path = "/v1/tracking/{number}", tag = "tracking", params(("number" = String, Path)),
    responses((status = 200, body = TrackingBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn read(
    State(gateway): State<Gateway>,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let name: TrackingNumber = number.parse().map_err(|_| unknown(&number))?;
    let tracked = gateway
        .consign
        .tracked(&name)?
        .ok_or_else(|| unknown(&number))?;
    let body = TrackingBody::of(&name, &tracked.order, tracked.shipment)?;
    answer::read(&headers, tracked.order.version, || body)
}
