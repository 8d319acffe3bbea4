//! An order's whole way through HTTP, with stock and money recounted from outside after each step.

mod amending;
mod cancelling;
mod displacing;
mod fulfilling;
mod holding;
mod reserving;
mod sourcing;
mod waiting;

/// The binary under test, built by cargo for these tests.
const CONSIGN: &str = env!("CARGO_BIN_EXE_consign");

/// An id among JSON.
fn id(value: &serde_json::Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no id: {value}"))
        .to_owned()
}

/// The units of an order's line.
fn units(order: &serde_json::Value, line: usize, state: &str) -> u64 {
    order["lines"][line]["units"][state]
        .as_u64()
        .unwrap_or_else(|| panic!("no {state}: {order}"))
}
