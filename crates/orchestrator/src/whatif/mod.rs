//! What if: recorded orders sourced again by another strategy, with the very code that sources live
//! ones, and the stock carried forward as it would have been.
//!
//! In: a recording ([`crate::Recorded`]) and strategies. Out: for each a [`Report`]: what its plans
//! come to beside what happened. Asks no node; the same recording gives the same report.
//!
//! Two worlds run side by side. In the recorded one stock changed as it was recorded. The other
//! differs from it by what orders reserve elsewhere, and by nothing else: an order whose plans come
//! out as they did follows the record in everything, refusals and releases included. From its first
//! plan that comes out otherwise on, it goes its own way ([`course`]). So a strategy that decides as
//! the live one did gives the very numbers that were recorded, order for order.

mod asking;
mod course;
mod recorded;
mod replay;
mod report;
mod rooms;
mod shortage;
mod stock;

pub use recorded::{Recording, RecordingError};
pub use replay::replay;
pub use report::{Figures, LocationLoad, MovedOrder, Report, RuleRegret};

/// What is taken for granted where the record is silent; part of every report.
pub const ASSUMPTIONS: [&str; 8] = [
    "An order whose plans come out as they did shares everything that was recorded of it.",
    "A location grants what it has: nobody refuses an order that was never sent to it.",
    "What staff rejected, or did not find, at a location is rejected or not found there in the draft's \
     world as well, if the order is there; otherwise what was not found is gone from the shelf.",
    "Receipts, counts, adjustments, transfers and returns happen as recorded, as changes.",
    "What a customer cancelled is cancelled, first of what waits, then of what was reserved last.",
    "What the draft parks stays parked.",
    "A limited location takes on in the draft's world what the draft sends it; what it had taken on before the first order is not \
     counted.",
    "An order that waits is tried again when stock comes in, the one first that was placed first; where the record \
     says nothing about a location, it is where it is now, and carriers ask what they ask now.",
];
