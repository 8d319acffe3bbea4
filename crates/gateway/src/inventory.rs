//! Stock over HTTP: movements in, balances and ledgers out.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use compact_str::CompactString;
use consign_domain::ids::{LocationId, Sku};
use consign_domain::location::Balance;
use consign_orchestrator::{CallMeta, InventoryCommand};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{self, Answered};
use crate::fields::{At, Faults, TEXT_BYTES_MAX};
use crate::gateway::Gateway;
use crate::incoming::AnnouncementBody;
use crate::orders::changes::dated;
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;

/// Units of one movement at most.
pub const MOVEMENT_UNITS_MAX: u32 = 1_000_000_000;

/// Goods that came in.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReceiptDto {
    /// Where.
    #[schema(value_type = String, example = "LEEDS")]
    location: CompactString,
    /// What.
    #[schema(value_type = String, example = "85123A")]
    sku: CompactString,
    /// Units.
    quantity: u32,
    /// The caller's paper.
    #[schema(value_type = Option<String>)]
    reference: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// Stock that is more or less than thought.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdjustmentDto {
    /// Where.
    #[schema(value_type = String)]
    location: CompactString,
    /// What.
    #[schema(value_type = String)]
    sku: CompactString,
    /// The change of units on hand, signed.
    #[serde(default)]
    quantity: i64,
    /// The change of units that are not for sale, signed.
    #[serde(default)]
    damaged: i64,
    /// The caller's paper.
    #[schema(value_type = Option<String>)]
    reference: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// Stock on its way to another location.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferDto {
    /// From where.
    #[serde(alias = "from")]
    #[schema(value_type = String)]
    location: CompactString,
    /// To where.
    #[schema(value_type = String)]
    to: CompactString,
    /// What.
    #[schema(value_type = String)]
    sku: CompactString,
    /// Units.
    quantity: u32,
    /// The caller's paper.
    #[schema(value_type = Option<String>)]
    reference: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What somebody counted.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CountDto {
    /// Where.
    #[schema(value_type = String)]
    location: CompactString,
    /// What.
    #[schema(value_type = String)]
    sku: CompactString,
    /// Units on the shelf.
    counted: u32,
    /// When; later movements are added to the figure. Now if left out.
    #[schema(value_type = Option<String>)]
    counted_at: Option<CompactString>,
    /// The caller's paper.
    #[schema(value_type = Option<String>)]
    reference: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// What is never promised.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SafetyStockDto {
    /// Where.
    #[schema(value_type = String)]
    location: CompactString,
    /// What.
    #[schema(value_type = String)]
    sku: CompactString,
    /// Units.
    quantity: u32,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    occurred_at: Option<CompactString>,
}

/// A SKU's figures at a location.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[schema(as = Balance)]
pub struct BalanceBody {
    /// Everything in the building.
    on_hand: i64,
    /// Promised and still in the building.
    reserved: i64,
    /// Of the reserved, taken from the shelf.
    picked: i64,
    /// Never promised.
    safety_stock: i64,
    /// Not for sale.
    damaged: i64,
    /// What may be promised: `on_hand − damaged − reserved − safety_stock`.
    available: i64,
}

impl From<Balance> for BalanceBody {
    fn from(balance: Balance) -> BalanceBody {
        BalanceBody {
            on_hand: balance.on_hand,
            reserved: balance.reserved,
            picked: balance.picked,
            safety_stock: balance.safety_stock,
            damaged: balance.damaged,
            available: balance.available(),
        }
    }
}

/// What a movement came to.
#[derive(Serialize, ToSchema)]
#[schema(as = Moved)]
pub struct MovedBody<'a> {
    location: &'a str,
    sku: &'a str,
    #[serde(flatten)]
    balance: BalanceBody,
    /// Reserved units that it displaced; they are sourced again.
    displaced: u32,
    /// The location's version.
    version: u64,
}

/// The fields that every movement has.
struct Named {
    location: Option<LocationId>,
    sku: Option<Sku>,
    reference: CompactString,
}

fn named(
    faults: &mut Faults,
    location: &str,
    sku: &str,
    reference: Option<CompactString>,
) -> Named {
    let root = At::Root;
    faults.text_if(
        &root.field("reference"),
        reference.as_deref().filter(|r| !r.is_empty()),
        TEXT_BYTES_MAX,
    );
    Named {
        location: faults.id(&root.field("location"), location),
        sku: faults.id(&root.field("sku"), sku),
        reference: reference.unwrap_or_default(),
    }
}

pub async fn moved(
    gateway: &Gateway,
    faults: Faults,
    location: Option<LocationId>,
    command: Option<(Sku, InventoryCommand)>,
    call: CallMeta,
) -> Result<Response, Problem> {
    let (location, (sku, command)) = faults.finish(location.zip(command))?;
    let moved = gateway
        .consign
        .move_stock(location.clone(), command, call)
        .await?;
    let body = MovedBody {
        location: location.as_str(),
        sku: sku.as_str(),
        balance: moved.balance.into(),
        displaced: moved.displaced,
        version: moved.version,
    };
    let response = answer::versioned(StatusCode::OK, moved.version, &body)?;
    Ok(answer::replayed(response, moved.replayed))
}

/// Goods came in.
#[utoipa::path(post, path = "/v1/inventory/receipts", tag = "inventory", request_body = ReceiptDto, responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn receive(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<ReceiptDto>,
) -> Answered {
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let Named {
        location,
        sku,
        reference,
    } = named(&mut faults, &body.location, &body.sku, body.reference);
    let quantity = body.quantity;
    faults.range(&At::Root.field("quantity"), quantity, 1, MOVEMENT_UNITS_MAX);
    let command = sku.map(|sku| {
        (
            sku.clone(),
            InventoryCommand::Receive {
                sku,
                quantity,
                reference,
            },
        )
    });
    moved(&gateway, faults, location, command, call).await
}

/// Stock is more or less than thought. Below what is reserved it displaces, as a count does.
#[utoipa::path(post, path = "/v1/inventory/adjustments", tag = "inventory", request_body = AdjustmentDto, responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn adjust(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<AdjustmentDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let Named {
        location,
        sku,
        reference,
    } = named(&mut faults, &body.location, &body.sku, body.reference);
    let most = i64::from(MOVEMENT_UNITS_MAX);
    for (name, delta) in [("quantity", body.quantity), ("damaged", body.damaged)] {
        if !(-most..=most).contains(&delta) {
            faults.add(
                &root.field(name),
                "out_of_range",
                format!("must be -{most} to {most}"),
            );
        }
    }
    if body.quantity == 0 && body.damaged == 0 {
        faults.add(
            &root.field("quantity"),
            "out_of_range",
            "must not be 0, unless `damaged` is not",
        );
    }
    let (delta, damaged_delta) = (body.quantity, body.damaged);
    let command = sku.map(|sku| {
        (
            sku.clone(),
            InventoryCommand::Adjust {
                sku,
                delta,
                damaged_delta,
                reference,
            },
        )
    });
    moved(&gateway, faults, location, command, call).await
}

/// Sends stock that nobody has reserved to another location.
#[utoipa::path(post, path = "/v1/inventory/transfers", tag = "inventory", request_body = TransferDto, responses(
    (status = 200, description = "The sender's figures", body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 409, description = "`insufficient_stock`", body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn transfer(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<TransferDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let Named {
        location,
        sku,
        reference,
    } = named(&mut faults, &body.location, &body.sku, body.reference);
    let quantity = body.quantity;
    faults.range(&root.field("quantity"), quantity, 1, MOVEMENT_UNITS_MAX);
    let to: Option<LocationId> = faults.id(&root.field("to"), &body.to);
    if to.is_some() && to == location {
        faults.add(
            &root.field("to"),
            "invalid_value",
            "must be another location",
        );
    }
    let command = sku.zip(to).map(|(sku, to)| {
        (
            sku.clone(),
            InventoryCommand::TransferOut {
                to,
                sku,
                quantity,
                reference,
            },
        )
    });
    moved(&gateway, faults, location, command, call).await
}

/// Somebody counted. Never refused for being below what is reserved: that displaces reservations.
#[utoipa::path(post, path = "/v1/inventory/counts", tag = "inventory", request_body = CountDto, responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn count(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<CountDto>,
) -> Answered {
    let mut faults = Faults::default();
    let root = At::Root;
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let Named {
        location,
        sku,
        reference,
    } = named(&mut faults, &body.location, &body.sku, body.reference);
    let counted = body.counted;
    faults.range(&root.field("counted"), counted, 0, MOVEMENT_UNITS_MAX);
    let counted_at = faults.time_if(&root.field("counted_at"), body.counted_at.as_ref());
    let command = sku.map(|sku| {
        (
            sku.clone(),
            InventoryCommand::Count {
                sku,
                counted,
                counted_at,
                reference,
            },
        )
    });
    moved(&gateway, faults, location, command, call).await
}

/// Sets what is never promised.
#[utoipa::path(post, path = "/v1/inventory/safety-stock", tag = "inventory", request_body = SafetyStockDto, responses(
    (status = 200, body = MovedBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json"),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn safety_stock(
    State(gateway): State<Gateway>,
    Submission { body, call }: Submission<SafetyStockDto>,
) -> Answered {
    let mut faults = Faults::default();
    let call = dated(&mut faults, call, body.occurred_at.as_ref());
    let Named { location, sku, .. } = named(&mut faults, &body.location, &body.sku, None);
    let quantity = body.quantity;
    faults.range(&At::Root.field("quantity"), quantity, 0, MOVEMENT_UNITS_MAX);
    let command = sku.map(|sku| {
        (
            sku.clone(),
            InventoryCommand::SetSafetyStock { sku, quantity },
        )
    });
    moved(&gateway, faults, location, command, call).await
}

/// A SKU over all locations.
#[derive(Serialize, ToSchema)]
#[schema(as = SkuInventory)]
pub struct SkuInventoryBody<'a> {
    sku: &'a str,
    available: i64,
    locations: Vec<SkuLocationBody<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SkuLocation)]
struct SkuLocationBody<'a> {
    location: &'a str,
    #[serde(flatten)]
    balance: BalanceBody,
    /// Units that are announced and have not come.
    incoming: u64,
    /// What is announced, the earliest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    announced: Vec<AnnouncementBody<'a>>,
}

/// Where a SKU is, and how much of it.
#[utoipa::path(get, path = "/v1/inventory/{sku}", tag = "inventory", params(("sku" = String, Path)),
    responses((status = 200, body = SkuInventoryBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn of_sku(State(gateway): State<Gateway>, Path(sku): Path<String>) -> Answered {
    let sku: Sku = sku
        .parse()
        .map_err(|_| Problem::not_found("product", &sku))?;
    let inventory = gateway.consign.sku_inventory(&sku)?;
    answer::json(
        StatusCode::OK,
        &SkuInventoryBody {
            sku: sku.as_str(),
            available: inventory.available,
            locations: inventory
                .locations
                .iter()
                .map(|at| SkuLocationBody {
                    location: at.location.as_str(),
                    balance: at.balance.into(),
                    incoming: at.announced.iter().map(|of| u64::from(of.quantity)).sum(),
                    announced: at.announced.iter().map(AnnouncementBody::of).collect(),
                })
                .collect(),
        },
    )
}
