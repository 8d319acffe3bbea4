//! The catalogue's definitions, and carriers: what is taken, what is refused and why, what is
//! remembered, and that the stored parts are the whole.

mod carrier;
mod catalogue;
mod traits;
mod trials;
