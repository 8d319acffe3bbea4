//! What could be had, before anybody orders: for product pages and carts. From this node's own view,
//! so that such questions cost other nodes nothing; nothing is held.

use axum::extract::State;
use axum::http::StatusCode;
use compact_str::{CompactString, ToCompactString};
use consign_domain::catalogue::LocationKind;
use consign_domain::ids::{Channel, LineId, LocationId, Sku};
use consign_domain::money::UnitPrice;
use consign_domain::order::{Address, Destination, LINE_UNITS_MAX, ORDER_LINES_MAX, SplitPolicy};
use consign_orchestrator::{
    Cart, CartAvailability, Day, LocationOffer, PICKUP_MAX, ProductLine, Promise, Shipment,
    Shopper, SkuAvailability,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::answer::{self, Answered};
use crate::fields::{At, CODE_BYTES_MAX, Faults};
use crate::gateway::Gateway;
use crate::locations::LocationKindDto;
use crate::orders::dto::{MoneyText, SplitDto};
use crate::orders::parse::destination;
use crate::paging::{self, Asked};
use crate::problem::{Problem, ProblemBody};
use crate::submission::Submission;
use crate::time_text::TimeText;

/// What an order is taken for that does not say.
const CHANNEL_DEFAULT: &str = "web";
const SERVICE_LEVEL_DEFAULT: &str = "standard";

/// What is asked about a product.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AvailabilityQuery {
    /// A SKU of the catalogue.
    #[param(value_type = String, example = "85123A")]
    sku: CompactString,
    /// Where to: a country (ISO 3166-1 alpha-2), and its place in degrees if that is known.
    #[param(value_type = String, example = "GB,53.8,-1.55")]
    destination: CompactString,
    /// Where the order would come from; `web` if left out.
    #[param(value_type = Option<String>)]
    channel: Option<CompactString>,
    /// `standard` if left out.
    #[param(value_type = Option<String>)]
    service_level: Option<CompactString>,
    /// The retailer's own word for the order.
    #[param(value_type = Option<String>)]
    order_type: Option<CompactString>,
    /// The customer's group.
    #[param(value_type = Option<String>)]
    customer_group: Option<CompactString>,
    /// A date: how much could be had by then, with what comes until then.
    #[param(value_type = Option<String>, example = "2026-12-20")]
    by: Option<CompactString>,
}

/// What could be had of a product.
#[derive(Serialize, ToSchema)]
#[schema(as = Availability)]
pub struct AvailabilityBody<'a> {
    sku: &'a str,
    /// Whether it comes from a location at all; services, downloads and gift cards do not.
    stocked: bool,
    /// Units that locations may give in all, each with at most 1,000,000; none for what is not stocked.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u64>,
    /// Units that one location may give alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity_from_one: Option<u32>,
    /// The nearest location that may give any.
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<OfferBody<'a>>,
    /// Shops that may give any, nearest first, at most 10.
    pickup: Vec<OfferBody<'a>>,
    /// When one unit would be there, were it ordered now; only where the strategy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<PromiseBody>,
    /// When something comes of what cannot be had now, and is not spoken for; only where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    restock: Option<SupplyBody>,
    /// What could be had by the date that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<SupplyBody>,
    /// The version of the strategy by which locations were chosen; 0 is the one that is built in.
    strategy: u32,
}

/// What could be had by a date.
#[derive(Serialize, ToSchema)]
#[schema(as = SupplyByDate)]
struct SupplyBody {
    /// By the clock at the location where it comes in.
    #[schema(example = "2026-12-20")]
    date: String,
    /// Units in all by then.
    quantity: u64,
}

/// What a location may give.
#[derive(Serialize, ToSchema)]
#[schema(as = LocationOffer)]
struct OfferBody<'a> {
    location: &'a str,
    #[schema(value_type = LocationKindDto)]
    kind: LocationKind,
    /// Kilometres to the destination, where its place is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    km: Option<u32>,
    quantity: u32,
    /// When it could be picked up there, were it ordered now; only of shops whose hours the strategy
    /// knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    ready_at: Option<TimeText>,
}

/// From when to when something is there, both days included, by the clock where it comes from.
#[derive(Serialize, ToSchema)]
#[schema(as = Promise)]
struct PromiseBody {
    #[schema(example = "2026-12-01")]
    earliest: String,
    #[schema(example = "2026-12-03")]
    latest: String,
}

impl From<Promise> for PromiseBody {
    fn from(promise: Promise) -> PromiseBody {
        PromiseBody {
            earliest: promise.earliest.into(),
            latest: promise.latest.into(),
        }
    }
}

impl<'a> OfferBody<'a> {
    fn of(offer: &'a LocationOffer) -> OfferBody<'a> {
        OfferBody {
            location: offer.location.as_str(),
            kind: offer.kind,
            km: offer.km,
            quantity: offer.units,
            ready_at: offer.ready_at.map(TimeText),
        }
    }
}

impl<'a> AvailabilityBody<'a> {
    fn of(sku: &'a Sku, found: &'a SkuAvailability) -> AvailabilityBody<'a> {
        let shops = found.offers.iter();
        let shops = shops.filter(|offer| offer.kind == LocationKind::Store);
        AvailabilityBody {
            sku: sku.as_str(),
            stocked: found.is_stocked,
            quantity: found.is_stocked.then(|| found.units()),
            quantity_from_one: found.is_stocked.then(|| found.units_from_one()),
            nearest: found.offers.first().map(OfferBody::of),
            pickup: shops.take(PICKUP_MAX).map(OfferBody::of).collect(),
            promise: found.promise.map(PromiseBody::from),
            restock: None,
            by: None,
            strategy: found.strategy,
        }
    }
}

/// A destination as a query names it.
fn destination_of(text: &str) -> Result<Destination, Problem> {
    const FORM: &str =
        "must be a country, or a country, a latitude and a longitude, such as `GB,53.8,-1.55`";
    let wrong = || Problem::query("destination", FORM);
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let degrees = |text: &str| text.parse::<f64>().map_err(|_| wrong());
    let (country, latitude, longitude) = match parts[..] {
        [country] => (country, None, None),
        [country, latitude, longitude] => {
            (country, Some(degrees(latitude)?), Some(degrees(longitude)?))
        }
        _ => return Err(wrong()),
    };
    let mut faults = Faults::default();
    faults.country(&At::Root, country);
    let position = faults.position(&At::Root, latitude, longitude);
    faults.finish_query("destination")?;
    Ok(destination(&Address {
        country: country.into(),
        position,
        ..Address::default()
    }))
}

/// One of the retailer's own words in a query.
fn word(name: &str, text: Option<CompactString>) -> Result<Option<CompactString>, Problem> {
    let mut faults = Faults::default();
    faults.text_if(&At::Root, text.as_deref(), CODE_BYTES_MAX);
    faults.finish_query(name).map(|()| text)
}

/// What could be had of a product: how much, from how near, and in which shops.
#[utoipa::path(get, path = "/v1/availability", tag = "availability", params(AvailabilityQuery),
    responses((status = 200, body = AvailabilityBody<'static>),
    (status = 404, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn of_sku(
    State(gateway): State<Gateway>,
    Asked(query): Asked<AvailabilityQuery>,
) -> Answered {
    let sku: Sku = paging::required_id("sku", &query.sku)?;
    let channel: Option<Channel> = paging::id("channel", query.channel.as_deref())?;
    let level = word("service_level", query.service_level)?;
    let shopper = Shopper {
        channel: channel.map_or(CHANNEL_DEFAULT.into(), |channel| channel.as_str().into()),
        order_type: word("order_type", query.order_type)?,
        customer_group: word("customer_group", query.customer_group)?,
        service_level: level.unwrap_or_else(|| SERVICE_LEVEL_DEFAULT.into()),
        destination: destination_of(&query.destination)?,
    };
    let by = query.by.map(day).transpose()?;
    let consign = &gateway.consign;
    let found = consign.availability(&sku, &shopper).await?;
    let mut answer = AvailabilityBody::of(&sku, &found);
    if found.is_stocked && found.offers.is_empty() {
        let restock = consign.restock(&sku, &shopper).await?;
        answer.restock = restock.map(|of| SupplyBody {
            date: of.day.into(),
            quantity: of.units,
        });
    }
    if let Some(by) = by {
        let units = consign.availability_by(&sku, &shopper, by).await?;
        answer.by = units.map(|quantity| SupplyBody {
            date: by.into(),
            quantity,
        });
    }
    answer::json(StatusCode::OK, &answer)
}

/// The date that `by` names.
fn day(text: CompactString) -> Result<Day, Problem> {
    let wrong = |_| Problem::query("by", "must be a date such as `2026-12-20`");
    Day::try_from(String::from(text)).map_err(wrong)
}

/// A cart: what an order says that matters for who serves it, and nothing about who buys.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartDto {
    /// Where the order would come from; `web` if left out.
    #[schema(value_type = Option<String>)]
    pub channel: Option<CompactString>,
    /// The retailer's own word for the order.
    #[schema(value_type = Option<String>)]
    pub order_type: Option<CompactString>,
    /// The customer's group.
    #[schema(value_type = Option<String>)]
    pub customer_group: Option<CompactString>,
    /// `standard` if left out.
    #[schema(value_type = Option<String>)]
    pub service_level: Option<CompactString>,
    /// Where to.
    pub ship_to: PlaceDto,
    /// May it be split?
    #[schema(value_type = Option<SplitDto>)]
    pub split: Option<SplitPolicy>,
    /// ISO 4217; needed where lines name prices.
    #[schema(value_type = Option<String>, example = "GBP")]
    pub currency: Option<CompactString>,
    /// 1 to 2,000 lines.
    pub lines: Vec<CartLineDto>,
}

/// A country, and the place in it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceDto {
    /// ISO 3166-1 alpha-2, upper case.
    #[schema(value_type = String, example = "GB")]
    country: CompactString,
    /// Degrees, −90 to 90.
    latitude: Option<f64>,
    /// Degrees, −180 to 180.
    longitude: Option<f64>,
}

/// A line of a cart.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CartLineDto {
    /// A SKU of the catalogue.
    #[schema(value_type = String, example = "85123A")]
    sku: CompactString,
    /// 1 to 100,000 units.
    #[schema(example = 6)]
    quantity: u32,
    /// Price of one unit, for strategies that ask what an order is worth.
    #[schema(value_type = Option<String>, example = "2.55")]
    unit_price: Option<MoneyText>,
    /// Only this location may serve it.
    #[schema(value_type = Option<String>)]
    pickup_location: Option<CompactString>,
}

/// What could be had of a cart, were it ordered now.
#[derive(Serialize, ToSchema)]
#[schema(as = CartAvailability)]
pub struct CartBody<'a> {
    /// Whether all of it could be served.
    complete: bool,
    /// By line of the cart.
    lines: Vec<CartLineBody<'a>>,
    /// Who would serve what.
    shipments: Vec<ShipmentBody<'a>>,
    /// When all that is sent would be there; only where nothing is short and the strategy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<PromiseBody>,
    /// The version of the strategy by which locations were chosen; 0 is the one that is built in.
    strategy: u32,
}

/// What could be had of a cart's line.
#[derive(Serialize, ToSchema)]
#[schema(as = CartLineAvailability)]
struct CartLineBody<'a> {
    sku: &'a str,
    /// Units asked for.
    quantity: u32,
    /// Of those, units that could be served; all of them where nothing has to be in stock.
    available: u32,
}

/// What a location would serve of a cart.
#[derive(Serialize, ToSchema)]
#[schema(as = CartShipment)]
struct ShipmentBody<'a> {
    location: &'a str,
    #[schema(value_type = LocationKindDto)]
    kind: LocationKind,
    /// Kilometres to the destination, where its place is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    km: Option<u32>,
    lines: Vec<ShipmentLineBody>,
    /// When what it sends would be there; only where the strategy knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    promise: Option<PromiseBody>,
    /// When what is picked up there would be ready; only where the strategy knows its hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    ready_at: Option<TimeText>,
}

/// Units of a cart's line.
#[derive(Serialize, ToSchema)]
#[schema(as = CartShipmentLine)]
struct ShipmentLineBody {
    /// Index of the cart's line, from 0.
    line: u32,
    quantity: u32,
}

impl<'a> CartBody<'a> {
    fn of(cart: &'a Cart, found: &'a CartAvailability) -> CartBody<'a> {
        let short = |at: u32| {
            let of_line = found.short.iter().find(|(line, _)| *line == at);
            of_line.map_or(0, |(_, units)| *units)
        };
        let line = |(at, line): (u32, &'a ProductLine)| CartLineBody {
            sku: line.sku.as_str(),
            quantity: line.quantity,
            available: line.quantity - short(at).min(line.quantity),
        };
        let units = |(line, quantity): &(u32, u32)| ShipmentLineBody {
            line: *line,
            quantity: *quantity,
        };
        let shipment = |shipment: &'a Shipment| ShipmentBody {
            location: shipment.location.as_str(),
            kind: shipment.kind,
            km: shipment.km,
            lines: shipment.lines.iter().map(units).collect(),
            promise: shipment.promise.map(PromiseBody::from),
            ready_at: shipment.ready_at.map(TimeText),
        };
        CartBody {
            complete: found.short.is_empty(),
            lines: (0_u32..).zip(&cart.lines).map(line).collect(),
            shipments: found.shipments.iter().map(shipment).collect(),
            promise: found.promise.map(PromiseBody::from),
            strategy: found.strategy,
        }
    }
}

/// A cart and who asks; `faults` are those of what came beside it.
///
/// # Errors
/// 422 with every fault.
pub fn parse(dto: CartDto, mut faults: Faults) -> Result<(Cart, Shopper), Problem> {
    let root = At::Root;
    let channel = dto.channel.as_deref().unwrap_or(CHANNEL_DEFAULT);
    let channel: Option<Channel> = faults.id(&root.field("channel"), channel);
    for (name, value) in [
        ("order_type", &dto.order_type),
        ("customer_group", &dto.customer_group),
        ("service_level", &dto.service_level),
    ] {
        faults.text_if(&root.field(name), value.as_deref(), CODE_BYTES_MAX);
    }
    let code = dto.currency.as_deref();
    let currency = code.and_then(|code| faults.currency(&root.field("currency"), code));
    let ship_to = root.field("ship_to");
    faults.country(&ship_to.field("country"), &dto.ship_to.country);
    let place = &dto.ship_to;
    let position = faults.position(&ship_to, place.latitude, place.longitude);
    let lines_at = root.field("lines");
    if dto.lines.is_empty() || dto.lines.len() > ORDER_LINES_MAX {
        let detail = format!("1 to {ORDER_LINES_MAX} lines, not {}", dto.lines.len());
        faults.add(&lines_at, "out_of_range", detail);
        return Err(faults.problem());
    }
    if code.is_none() && dto.lines.iter().any(|line| line.unit_price.is_some()) {
        let detail = "lines name prices: say in which currency";
        faults.add(&root.field("currency"), "missing_field", detail);
    }
    let lines = dto.lines.iter().enumerate();
    let lines: Option<Vec<ProductLine>> = lines
        .map(|(index, dto)| line(&mut faults, &lines_at.index(index), index, dto))
        .collect();
    let parsed = channel.zip(lines).map(|(channel, lines)| {
        let cart = Cart {
            currency,
            split: dto.split.unwrap_or_default(),
            lines,
        };
        let level = dto.service_level;
        let shopper = Shopper {
            channel: channel.as_str().into(),
            order_type: dto.order_type,
            customer_group: dto.customer_group,
            service_level: level.unwrap_or_else(|| SERVICE_LEVEL_DEFAULT.into()),
            destination: destination(&Address {
                country: dto.ship_to.country,
                position,
                ..Address::default()
            }),
        };
        (cart, shopper)
    });
    faults.finish(parsed)
}

fn line(faults: &mut Faults, at: &At<'_>, index: usize, dto: &CartLineDto) -> Option<ProductLine> {
    let name = (index + 1).to_compact_string();
    let id: Option<LineId> = faults.id(at, &name);
    let sku: Option<Sku> = faults.id(&at.field("sku"), &dto.sku);
    faults.range(&at.field("quantity"), dto.quantity, 1, LINE_UNITS_MAX);
    let price = dto.unit_price.as_ref();
    let unit_price = match price {
        Some(price) => faults.unit_price(&at.field("unit_price"), &price.0),
        None => Some(UnitPrice::default()),
    };
    let pickup_at = at.field("pickup_location");
    let pickup_location: Option<LocationId> =
        faults.id_if(&pickup_at, dto.pickup_location.as_ref());
    Some(ProductLine {
        id: id?,
        sku: sku?,
        quantity: dto.quantity,
        unit_price: unit_price?,
        discount: 0,
        taxes: Vec::new(),
        pickup_location,
    })
}

/// Who would serve a cart, and how much of it. Nothing is held.
#[utoipa::path(post, path = "/v1/availability/cart", tag = "availability", request_body = CartDto,
    responses((status = 200, body = CartBody<'static>),
    (status = 422, body = ProblemBody, content_type = "application/problem+json")))]
pub async fn of_cart(
    State(gateway): State<Gateway>,
    Submission { body, .. }: Submission<CartDto>,
) -> Answered {
    let (cart, shopper) = parse(body, Faults::default())?;
    let found = gateway.consign.cart_availability(&cart, &shopper).await?;
    answer::json(StatusCode::OK, &CartBody::of(&cart, &found))
}
