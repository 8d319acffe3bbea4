//! What clients send about orders. Only form is said here; `parse` says what is valid.

use std::collections::BTreeMap;
use std::fmt;

use compact_str::CompactString;
use consign_domain::order::{HoldReason, ShortagePolicy, SplitPolicy};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// An order as a client places it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PlaceOrder {
    /// The client's own id; one is minted if left out.
    #[schema(value_type = Option<String>, example = "A-1001")]
    pub id: Option<CompactString>,
    /// The channel's own name for the order, unique in the channel.
    #[schema(value_type = Option<String>, example = "536365")]
    pub external_id: Option<CompactString>,
    /// Where it came from.
    #[schema(value_type = String, example = "web")]
    pub channel: CompactString,
    /// ISO 4217.
    #[schema(value_type = String, example = "GBP")]
    pub currency: CompactString,
    /// When the customer pressed "buy", RFC 3339; now if left out.
    #[schema(value_type = Option<String>, example = "2010-12-01T08:26:00Z")]
    pub placed_at: Option<CompactString>,
    /// The retailer's own word for it.
    #[schema(value_type = Option<String>)]
    pub order_type: Option<CompactString>,
    /// BCP 47.
    #[schema(value_type = Option<String>, example = "en-GB")]
    pub locale: Option<CompactString>,
    /// Who buys.
    pub customer: CustomerDto,
    /// Where to.
    pub ship_to: AddressDto,
    /// Who pays, if another.
    pub billing: Option<AddressDto>,
    /// `standard`, `express`, `same_day`, `pickup`, or a carrier's own.
    #[schema(value_type = String, example = "standard")]
    pub service_level: CompactString,
    /// May it be split?
    #[schema(value_type = Option<SplitDto>)]
    pub split: Option<SplitPolicy>,
    /// What if stock is short?
    #[schema(value_type = Option<ShortageDto>)]
    pub shortage: Option<ShortagePolicy>,
    /// Shipping charged.
    #[schema(value_type = Option<String>, example = "4.95")]
    pub shipping: Option<MoneyText>,
    /// Order-level discounts: one amount, or several.
    pub discounts: Option<Amounts>,
    /// Order-level fees: one amount, or several.
    pub fees: Option<Amounts>,
    /// The channel's own remarks.
    #[schema(value_type = Option<std::collections::HashMap<String, String>>)]
    pub metadata: Option<BTreeMap<String, String>>,
    /// A reservation whose units the order is to get; see `POST /v1/reservations`.
    #[schema(value_type = Option<String>)]
    pub reservation: Option<CompactString>,
    /// 1 to 2,000 lines.
    pub lines: Vec<LineDto>,
    /// Only in a batch, where no line has a header of its own.
    #[schema(value_type = Option<String>)]
    pub idempotency_key: Option<CompactString>,
}

/// A line as a client places it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LineDto {
    /// The client's own name for it, unique in the order; its 1-based position if left out.
    #[schema(value_type = Option<String>)]
    pub id: Option<CompactString>,
    /// A SKU of the catalogue.
    #[schema(value_type = String, example = "85123A")]
    pub sku: CompactString,
    /// 1 to 100,000 units.
    #[schema(example = 6)]
    pub quantity: u32,
    /// Price of one unit, up to four decimals.
    #[schema(value_type = String, example = "2.55")]
    pub unit_price: MoneyText,
    /// Discounts on the line: one amount, or several.
    pub discounts: Option<Amounts>,
    /// Taxes on the whole line.
    #[serde(default)]
    pub taxes: Vec<TaxDto>,
    /// Only this location may serve it.
    #[schema(value_type = Option<String>)]
    pub pickup_location: Option<CompactString>,
}

/// A tax on a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TaxDto {
    /// As a fraction: `0.20` is 20 %.
    #[schema(value_type = String, example = "0.20")]
    pub rate: MoneyText,
    /// For the whole line.
    #[schema(value_type = String, example = "2.55")]
    pub amount: MoneyText,
    /// Whether the price holds it already.
    #[serde(default)]
    pub included: bool,
}

/// Who buys. Everything but `id` and `group` is personal data.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CustomerDto {
    /// A pseudonym.
    #[schema(value_type = String, example = "17850")]
    pub id: CompactString,
    /// Name.
    pub name: Option<String>,
    /// Mail address.
    pub email: Option<String>,
    /// Telephone number.
    pub phone: Option<String>,
    /// A group for prices or rules.
    #[schema(value_type = Option<String>)]
    pub group: Option<CompactString>,
}

/// A postal address.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddressDto {
    /// The recipient.
    pub name: Option<String>,
    /// Street and number.
    pub line1: Option<String>,
    /// Town.
    pub city: Option<String>,
    /// Postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2, upper case.
    #[schema(value_type = String, example = "GB")]
    pub country: CompactString,
    /// Degrees, −90 to 90.
    pub latitude: Option<f64>,
    /// Degrees, −180 to 180.
    pub longitude: Option<f64>,
}

/// What may be split.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "stands for the domain's type in the OpenAPI document"
)]
pub enum SplitDto {
    /// Any split.
    Allow,
    /// Several locations, but all units or none.
    ShipComplete,
    /// One location for all units, or none.
    SingleLocation,
}

/// What becomes of units that no location has.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "stands for the domain's type in the OpenAPI document"
)]
pub enum ShortageDto {
    /// They wait for stock.
    Backorder,
    /// They are cancelled.
    CancelLine,
    /// The whole order is cancelled.
    CancelOrder,
}

/// Why something is held.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "stands for the domain's type in the OpenAPI document"
)]
pub enum HoldReasonDto {
    /// The payment is not there.
    AwaitingPayment,
    /// Looks fraudulent.
    HighRiskOfFraud,
    /// The address cannot be right.
    IncorrectAddress,
    /// No stock.
    OutOfStock,
    /// Waits for items on their way back.
    AwaitingReturnItems,
    /// Somebody must look.
    ManualReview,
    /// Anything else.
    Other,
}

/// What is to be cancelled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelDto {
    /// Why.
    #[schema(value_type = String, example = "customer_request")]
    pub reason: CompactString,
    /// Which lines and units; all that is not picked if left out.
    pub lines: Option<Vec<CancelLineDto>>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<CompactString>,
}

/// Units of a line to be cancelled.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelLineDto {
    /// The line's id, or its 1-based position.
    #[schema(value_type = String)]
    pub line: LineName,
    /// Units; all of the line if left out.
    pub quantity: Option<u32>,
}

/// What is to be changed about an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmendDto {
    /// Lines to add.
    #[serde(default)]
    pub add_lines: Vec<LineDto>,
    /// Lines to change.
    #[serde(default)]
    pub lines: Vec<AmendLineDto>,
    /// Another address.
    pub ship_to: Option<AddressDto>,
    /// Another service level.
    #[schema(value_type = Option<String>)]
    pub service_level: Option<CompactString>,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<CompactString>,
}

/// What is to be changed about a line.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AmendLineDto {
    /// The line's id, or its 1-based position.
    #[schema(value_type = String)]
    pub line: LineName,
    /// Fewer units than there are; to have more, add a line.
    pub quantity: Option<u32>,
    /// Another price.
    #[schema(value_type = Option<String>)]
    pub unit_price: Option<MoneyText>,
}

/// A hold to be placed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldDto {
    /// Why.
    #[schema(value_type = HoldReasonDto)]
    pub reason: HoldReason,
    /// What it stops; the whole order if left out.
    #[serde(default)]
    pub scope: HoldScopeDto,
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<CompactString>,
}

/// What a hold stops: one of its members, or with none the whole order.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HoldScopeDto {
    /// A fulfillment order's id.
    #[schema(value_type = Option<String>)]
    pub fulfillment_order: Option<CompactString>,
    /// A line's id, or its 1-based position.
    #[schema(value_type = Option<String>)]
    pub line: Option<LineName>,
}

/// Nothing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {
    /// When it happened, if before now.
    #[schema(value_type = Option<String>)]
    pub occurred_at: Option<CompactString>,
}

/// A decimal amount as text; not read yet.
#[derive(Clone, Debug)]
pub struct MoneyText(pub CompactString);

impl<'de> Deserialize<'de> for MoneyText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MoneyText, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = MoneyText;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a JSON string such as \"2.55\" (numbers are not taken, they lose pennies)")
            }
            fn visit_str<E>(self, text: &str) -> Result<MoneyText, E> {
                Ok(MoneyText(text.into()))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// One amount, or several that are summed: `"1.00"` or `[{"amount":"1.00"}]`.
#[derive(Debug, ToSchema)]
#[schema(value_type = String, example = "1.00")]
pub struct Amounts(pub Vec<MoneyText>);

impl<'de> Deserialize<'de> for Amounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amounts, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Item {
            amount: MoneyText,
        }
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Amounts;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a decimal as a JSON string such as \"1.00\", or a list of {\"amount\": \"1.00\"}")
            }
            fn visit_str<E>(self, text: &str) -> Result<Amounts, E> {
                Ok(Amounts(vec![MoneyText(text.into())]))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Amounts, A::Error> {
                let mut amounts = Vec::new();
                while let Some(item) = items.next_element::<Item>()? {
                    amounts.push(item.amount);
                }
                Ok(Amounts(amounts))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// How a client names a line: by its id, or by its 1-based position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineName(pub CompactString);

impl<'de> Deserialize<'de> for LineName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LineName, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = LineName;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a line's id as a string, or its position counted from 1")
            }
            fn visit_str<E>(self, text: &str) -> Result<LineName, E> {
                Ok(LineName(text.into()))
            }
            fn visit_u64<E: de::Error>(self, position: u64) -> Result<LineName, E> {
                Ok(LineName(compact_str::format_compact!("{position}")))
            }
        }
        deserializer.deserialize_any(Name)
    }
}
