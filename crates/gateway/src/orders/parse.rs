//! From what a client sent to what the service is asked, or to all that is wrong with it.

use std::collections::HashSet;

use compact_str::{CompactString, ToCompactString};
use consign_domain::ids::{LineId, OrderId, ReservationId};
use consign_domain::money::{AMOUNT_MAX, Currency, Minor};
use consign_domain::order::{
    Address, Destination, Header, LINE_UNITS_MAX, ORDER_LINES_MAX, PersonalData, Tax,
};
use consign_domain::time::Timestamp;
use consign_orchestrator::{NewOrder, ProductLine, coarse};

use super::dto::{AddressDto, Amounts, LineDto, PlaceOrder};
use crate::fields::{At, CODE_BYTES_MAX, Faults, TEXT_BYTES_MAX};
use crate::problem::Problem;

/// Members of an order's metadata at most.
pub const METADATA_MAX: usize = 64;
/// Taxes of one line at most.
pub const TAXES_MAX: usize = 16;
/// Discounts or fees in one list at most.
pub const AMOUNTS_MAX: usize = 64;
/// The longest of the retailer's own names and words, in bytes.
const WORD_BYTES_MAX: usize = 256;

/// An order to be placed.
///
/// # Errors
/// 422 with every fault.
pub fn place(mut dto: PlaceOrder, now: Timestamp) -> Result<NewOrder, Problem> {
    let mut faults = Faults::default();
    let root = At::Root;
    let id: Option<OrderId> = faults.id_if(&root.field("id"), dto.id.as_ref());
    let currency = faults.currency(&root.field("currency"), &dto.currency);
    codes(&mut faults, &dto);
    let lines = lines(
        &mut faults,
        &root.field("lines"),
        std::mem::take(&mut dto.lines),
        currency,
    );
    let personal = personal(&mut faults, &mut dto);
    let header = header(
        &mut faults,
        dto,
        currency,
        destination(&personal.ship_to),
        now,
    );
    let order = header.zip(lines).map(|(header, lines)| NewOrder {
        id,
        header,
        lines,
        personal,
    });
    faults.finish(order)
}

/// The reservation that an order names.
///
/// # Errors
/// 422 when it cannot be an id.
pub fn reservation(name: Option<&CompactString>) -> Result<Option<ReservationId>, Problem> {
    let mut faults = Faults::default();
    let id = faults.id_if(&At::Root.field("reservation"), name);
    faults.finish(Some(id))
}

/// Checks the retailer's own words.
fn codes(faults: &mut Faults, dto: &PlaceOrder) {
    let root = At::Root;
    for (name, value) in [
        ("external_id", &dto.external_id),
        ("order_type", &dto.order_type),
        ("locale", &dto.locale),
    ] {
        faults.text_if(&root.field(name), value.as_deref(), WORD_BYTES_MAX);
    }
    faults.text(
        &root.field("service_level"),
        &dto.service_level,
        CODE_BYTES_MAX,
    );
    let customer = root.field("customer");
    faults.text(&customer.field("id"), &dto.customer.id, WORD_BYTES_MAX);
    let group = dto.customer.group.as_deref();
    faults.text_if(&customer.field("group"), group, CODE_BYTES_MAX);
}

fn header(
    faults: &mut Faults,
    dto: PlaceOrder,
    currency: Option<Currency>,
    destination: Destination,
    now: Timestamp,
) -> Option<Header> {
    let root = At::Root;
    let channel = faults.id(&root.field("channel"), &dto.channel);
    let placed_at = faults.time_if(&root.field("placed_at"), dto.placed_at.as_ref());
    let shipping = match &dto.shipping {
        Some(text) => faults.amount(&root.field("shipping"), &text.0, currency),
        None => Some(0),
    };
    let discount = sum(
        faults,
        &root.field("discounts"),
        dto.discounts.as_ref(),
        currency,
    );
    let fees = sum(faults, &root.field("fees"), dto.fees.as_ref(), currency);
    Some(Header {
        channel: channel?,
        external_id: dto.external_id,
        currency: currency?,
        placed_at: placed_at.unwrap_or(now),
        order_type: dto.order_type,
        locale: dto.locale,
        customer: dto.customer.id,
        customer_group: dto.customer.group,
        destination,
        service_level: dto.service_level,
        split: dto.split.unwrap_or_default(),
        shortage: dto.shortage.unwrap_or_default(),
        shipping: shipping?,
        discount: discount?,
        fees: fees?,
    })
}

/// Takes everything personal out of what was sent.
fn personal(faults: &mut Faults, dto: &mut PlaceOrder) -> PersonalData {
    let root = At::Root;
    let customer_at = root.field("customer");
    let customer = &mut dto.customer;
    let (name, email, phone) = (
        customer.name.take(),
        customer.email.take(),
        customer.phone.take(),
    );
    for (member, value) in [("name", &name), ("email", &email), ("phone", &phone)] {
        faults.remark(&customer_at.field(member), value.as_deref());
    }
    let billing_at = root.field("billing");
    PersonalData {
        customer_name: name,
        email,
        phone,
        ship_to: address(
            faults,
            &root.field("ship_to"),
            std::mem::take(&mut dto.ship_to),
        ),
        billing: dto
            .billing
            .take()
            .map(|billing| address(faults, &billing_at, billing)),
        metadata: metadata(
            faults,
            &root.field("metadata"),
            dto.metadata.take().unwrap_or_default(),
        ),
        signatures: Vec::new(),
    }
}

fn metadata(
    faults: &mut Faults,
    at: &At<'_>,
    members: std::collections::BTreeMap<String, String>,
) -> Vec<(String, String)> {
    if members.len() > METADATA_MAX {
        faults.add(at, "too_many", format!("at most {METADATA_MAX} members"));
    }
    for (name, value) in &members {
        if name.is_empty() || name.len() > CODE_BYTES_MAX || value.len() > TEXT_BYTES_MAX {
            let detail =
                format!("names of 1 to {CODE_BYTES_MAX} bytes, values of at most {TEXT_BYTES_MAX}");
            faults.add(&at.field(name), "too_long", detail);
        }
    }
    members.into_iter().collect()
}

/// An address; faults are noted.
pub fn address(faults: &mut Faults, at: &At<'_>, dto: AddressDto) -> Address {
    faults.country(&at.field("country"), &dto.country);
    for (name, value) in [
        ("name", &dto.name),
        ("line1", &dto.line1),
        ("city", &dto.city),
        ("postal_code", &dto.postal_code),
    ] {
        faults.remark(&at.field(name), value.as_deref());
    }
    let position = faults.position(at, dto.latitude, dto.longitude);
    Address {
        name: dto.name,
        line1: dto.line1,
        city: dto.city,
        postal_code: dto.postal_code,
        country: dto.country,
        position,
    }
}

/// What sourcing may know of an address: the country, and the position to about a kilometre.
#[must_use]
pub fn destination(address: &Address) -> Destination {
    Destination {
        country: address.country.clone(),
        position: address.position.map(coarse),
    }
}

/// One amount or the sum of several; 0 for none.
fn sum(
    faults: &mut Faults,
    at: &At<'_>,
    amounts: Option<&Amounts>,
    currency: Option<Currency>,
) -> Option<Minor> {
    let Some(Amounts(amounts)) = amounts else {
        return Some(0);
    };
    if amounts.len() > AMOUNTS_MAX {
        faults.add(at, "too_many", format!("at most {AMOUNTS_MAX} amounts"));
        return None;
    }
    let mut total: Minor = 0;
    for (index, amount) in amounts.iter().enumerate() {
        let element = at.index(index);
        let place = element.field("amount");
        let place = if amounts.len() == 1 { at } else { &place };
        total = total.saturating_add(faults.amount(place, &amount.0, currency)?);
    }
    if total > AMOUNT_MAX {
        faults.add(at, "out_of_range", "is too large");
        return None;
    }
    Some(total)
}

fn lines(
    faults: &mut Faults,
    at: &At<'_>,
    dtos: Vec<LineDto>,
    currency: Option<Currency>,
) -> Option<Vec<ProductLine>> {
    if dtos.is_empty() {
        faults.add(at, "empty", "an order has at least one line");
        return None;
    }
    if dtos.len() > ORDER_LINES_MAX {
        let detail = format!("at most {ORDER_LINES_MAX} lines, not {}", dtos.len());
        faults.add(at, "too_many", detail);
        return None;
    }
    let mut names: HashSet<LineId> = HashSet::new();
    // A single line cannot repeat a name; most orders have few.
    let many = dtos.len() > 1;
    let mut lines = Vec::with_capacity(dtos.len());
    for (index, dto) in dtos.into_iter().enumerate() {
        let place = at.index(index);
        let line = line(
            faults,
            &place,
            dto,
            (index + 1).to_compact_string(),
            currency,
        );
        if let Some(line) = line {
            if many && !names.insert(line.id.clone()) {
                let detail = format!(
                    "another line is named \"{}\"; name each line, or none",
                    line.id
                );
                faults.add(&place.field("id"), "duplicate", detail);
            }
            lines.push(line);
        }
    }
    Some(lines)
}

/// A line, named `position` if it has no id of its own.
pub fn line(
    faults: &mut Faults,
    at: &At<'_>,
    dto: LineDto,
    position: CompactString,
    currency: Option<Currency>,
) -> Option<ProductLine> {
    let id = faults.id(&at.field("id"), dto.id.as_deref().unwrap_or(&position));
    let sku = faults.id(&at.field("sku"), &dto.sku);
    faults.range(&at.field("quantity"), dto.quantity, 1, LINE_UNITS_MAX);
    let unit_price = faults.unit_price(&at.field("unit_price"), &dto.unit_price.0);
    let discount = sum(
        faults,
        &at.field("discounts"),
        dto.discounts.as_ref(),
        currency,
    );
    let pickup_location = faults.id_if(&at.field("pickup_location"), dto.pickup_location.as_ref());
    let taxes_at = at.field("taxes");
    if dto.taxes.len() > TAXES_MAX {
        faults.add(&taxes_at, "too_many", format!("at most {TAXES_MAX} taxes"));
        return None;
    }
    let mut taxes = Vec::with_capacity(dto.taxes.len());
    for (index, tax) in dto.taxes.iter().enumerate() {
        let place = taxes_at.index(index);
        let rate_ppm = faults.rate(&place.field("rate"), &tax.rate.0);
        let amount = faults.amount(&place.field("amount"), &tax.amount.0, currency);
        if let (Some(rate_ppm), Some(amount)) = (rate_ppm, amount) {
            taxes.push(Tax {
                rate_ppm,
                amount,
                included: tax.included,
            });
        }
    }
    Some(ProductLine {
        id: id?,
        sku: sku?,
        quantity: dto.quantity,
        unit_price: unit_price?,
        discount: discount?,
        taxes,
        pickup_location,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json_body;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn placed(json: &str) -> Result<NewOrder, Problem> {
        json_body::parse::<PlaceOrder>(json.as_bytes()).and_then(|dto| place(dto, NOW))
    }

    fn codes(json: &str) -> Vec<(String, String)> {
        let problem = placed(json).expect_err("must be refused");
        problem
            .errors
            .into_iter()
            .map(|e| (e.pointer, e.code.into_owned()))
            .collect()
    }

    const WHOLE: &str = r#"{"id":"A-1","external_id":"536365","channel":"web","currency":"GBP",
        "placed_at":"2010-12-01T08:26:00+01:00","order_type":"b2c","locale":"en-GB",
        "customer":{"id":"17850","name":"A B","email":"a@example.org","phone":"1","group":"vip"},
        "ship_to":{"name":"A B","line1":"1 High St","city":"Leeds","postal_code":"LS1","country":"GB","latitude":53.79648,"longitude":-1.54785},
        "billing":{"country":"FR"},"service_level":"express","split":"ship_complete","shortage":"cancel_line",
        "shipping":"4.95","discounts":[{"amount":"1.00"},{"amount":"0.50"}],"fees":"0.30","metadata":{"k":"v"},
        "lines":[{"id":"x","sku":"85123A","quantity":6,"unit_price":"2.55","discounts":"0.05",
                  "taxes":[{"rate":"0.20","amount":"3.06","included":false}],"pickup_location":"LEEDS"},
                 {"sku":"85123A","quantity":1,"unit_price":"0.0125"}]}"#;

    #[test]
    fn a_whole_order_is_understood() {
        let order = placed(WHOLE).expect("valid");
        assert_eq!(order.header.placed_at.0, 1_291_188_360_000_000);
        assert_eq!(
            (
                order.header.shipping,
                order.header.discount,
                order.header.fees
            ),
            (495, 150, 30)
        );
        let position = order.header.destination.position.expect("a position");
        assert_eq!(
            (position.latitude_e6, position.longitude_e6),
            (53_800_000, -1_550_000)
        );
        let exact = order.personal.ship_to.position.expect("a position");
        assert_eq!(exact.latitude_e6, 53_796_480);
        let names: Vec<_> = order.lines.iter().map(|l| l.id.as_str()).collect();
        assert_eq!(names, ["x", "2"]);
        assert_eq!(
            (order.lines[0].unit_price.0, order.lines[1].unit_price.0),
            (25_500, 125)
        );
        assert_eq!(
            order.lines[0].taxes,
            [Tax {
                rate_ppm: 200_000,
                amount: 306,
                included: false
            }]
        );
        assert_eq!(order.lines[0].discount, 5);
    }

    #[test]
    fn every_fault_of_content_is_named_at_once() {
        let found = codes(
            r#"{"channel":"a b","currency":"XYZ","placed_at":"today","customer":{"id":""},"ship_to":{"country":"gb","latitude":1.0},
                "service_level":"","shipping":"-1","lines":[{"sku":"","quantity":0,"unit_price":"2.55555"},
                {"sku":"A","quantity":100001,"unit_price":"x","taxes":[{"rate":"20","amount":"1"}]}]}"#,
        );
        for expected in [
            ("/channel", "invalid_id"),
            ("/currency", "unknown_currency"),
            ("/placed_at", "invalid_time"),
            ("/customer/id", "empty"),
            ("/ship_to/country", "invalid_country"),
            ("/ship_to/longitude", "missing_field"),
            ("/service_level", "empty"),
            ("/shipping", "not_a_decimal"),
            ("/lines/0/sku", "invalid_id"),
            ("/lines/0/quantity", "out_of_range"),
            ("/lines/0/unit_price", "too_many_decimals"),
            ("/lines/1/quantity", "out_of_range"),
            ("/lines/1/unit_price", "not_a_decimal"),
            ("/lines/1/taxes/0/rate", "out_of_range"),
        ] {
            assert!(
                found.contains(&(expected.0.into(), expected.1.into())),
                "{expected:?} is not in {found:?}"
            );
        }
        assert_eq!(found.len(), 14, "{found:?}");
    }

    #[test]
    fn money_as_a_number_is_refused_with_the_reason() {
        let json = WHOLE.replace("\"2.55\"", "2.55").replace("\"4.95\"", "4");
        let problem = placed(&json).expect_err("numbers are not money");
        let found: Vec<_> = problem
            .errors
            .iter()
            .map(|e| (e.pointer.as_str(), e.code.as_ref()))
            .collect();
        assert!(
            found.contains(&("/lines/0/unit_price", "invalid_type")),
            "{found:?}"
        );
        assert!(found.contains(&("/shipping", "invalid_type")), "{found:?}");
        assert!(
            problem.errors[0].detail.contains("JSON string"),
            "{}",
            problem.errors[0].detail
        );
    }

    #[test]
    fn lines_keep_names_that_do_not_collide() {
        let json = WHOLE.replace("\"id\":\"x\"", "\"id\":\"2\"");
        assert_eq!(
            codes(&json),
            [("/lines/1/id".to_owned(), "duplicate".to_owned())]
        );
        let none = r#"{"channel":"web","currency":"GBP","customer":{"id":"1"},"ship_to":{"country":"GB"},"service_level":"standard","lines":[]}"#;
        assert_eq!(codes(none), [("/lines".to_owned(), "empty".to_owned())]);
    }

    #[test]
    fn amounts_follow_their_currency() {
        let yen = WHOLE.replace("GBP", "JPY").replace("\"4.95\"", "\"495\"");
        let found = codes(&yen);
        assert!(
            found.contains(&("/discounts/1/amount".into(), "too_many_decimals".into())),
            "{found:?}"
        );
        assert!(
            found.contains(&("/fees".into(), "too_many_decimals".into())),
            "{found:?}"
        );
        assert!(!found.iter().any(|(pointer, _)| pointer == "/shipping"));
    }
}
