//! A carrier: issues tracking numbers, quotes rates, counts scans. Its definition is the
//! catalogue's; what it has issued is its own.

pub mod rates;
pub mod state;
pub mod tracking_number;

pub use rates::quote;
pub use state::{Carrier, CarrierCommand, CarrierEvent, CarrierRejection, CarrierReply};
pub use tracking_number::{check_digit, is_valid, issue};
