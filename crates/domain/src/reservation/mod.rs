//! Stock held for a cart: chosen, held at locations for a while, and given to the one order that names it.
//!
//! A reservation moves no stock itself: each location holds its part, and ends it by itself when its
//! time is over, whatever becomes of the reservation (L1, L5).

mod apply;
mod command;
mod consume;
mod decide;
mod event;
mod state;
mod types;

pub use command::{
    HoldAnswer, OrderedLine, ReservationCommand, ReservationRejection, ReservationReply,
};
pub use decide::{HOLD_SECONDS_MAX, RESERVATION_ROUNDS_MAX};
pub use event::{Claim, ReservationEvent};
pub use state::{Reservation, ReservationEffect, ReservationEffectKey, ReservationPartKey};
pub use types::{CartLine, HoldState, LineHold, ReservationStatus, ReservationTerms};
