//! Orders over HTTP: place, read, list, cancel, amend, hold.
//!
//! `dto` is what comes in, `parse` turns it into the domain's words or a problem, `render` is
//! what goes out, `routes` and `lists` are the handlers.

pub mod changes;
pub mod dto;
pub mod line_name;
pub mod lists;
pub mod parking;
pub mod parse;
pub mod render;
pub mod render_parts;
pub mod render_work;
pub mod routes;
