//! A location's behaviour told one case at a time: what each request grants, keeps and closes, what
//! a count of a past moment means, how stock travels between two locations.

mod announced;
mod blocks;
mod edges;
#[path = "../location_world/mod.rs"]
mod location_world;
mod requests;
mod stock;
