//! The gateway's router on a real service.

mod clients;
mod shop;
mod way;
