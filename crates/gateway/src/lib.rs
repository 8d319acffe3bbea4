//! The HTTP interface: JSON in and out, OpenAPI 3.1, problems by RFC 9457.
//!
//! In: requests from anybody. Out: calls to the orchestrator and its answers, rendered. Holds no
//! business rule: what is checked here is form, and what cannot be said to the domain at all;
//! whether something is allowed is the domain's to say. Knows no storage and no actors.
//!
//! | files | what |
//! |---|---|
//! | `openapi`, `server`, `edge`, `limits` | routes, sockets, the layer around every route, bounds |
//! | `tls` | what becomes of a connection before HTTP is spoken |
//! | `admin` | the port of operators, and who may use it |
//! | `submission`, `json_body`, `body_hash`, `call`, `conditional`, `paging` | reading requests |
//! | `fields`, `money_text`, `time_text` | reading single fields, with every fault named |
//! | `answer`, `problem`, `service_problem`, `event_text` | writing answers |
//! | `common_answers` | what the layers answer, for the OpenAPI document |
//! | `orders`, `batch`, `fulfillment`, … | resources: one file each, or a folder |

mod admin;
mod answer;
mod availability;
mod batch;
mod blocking;
mod blocks;
mod body_hash;
mod call;
mod capacity;
mod carriers;
mod cluster;
mod common_answers;
mod conditional;
mod definitions;
mod edge;
#[cfg(test)]
mod edge_tests;
mod event_text;
mod events;
mod fields;
mod fulfillment;
mod gateway;
mod incoming;
mod inventory;
mod json_body;
mod limits;
mod locations;
mod money_text;
mod openapi;
mod operations;
mod orders;
mod paging;
mod problem;
mod process;
mod product_traits;
mod products;
mod recording;
mod reservations;
mod returns;
mod server;
mod service_problem;
mod stock_lists;
mod strategies;
mod submission;
mod time_text;
mod tls;
mod tracking;
mod trials;

pub use admin::{AdminTokens, admin_router};
pub use axum::Router;
pub use gateway::GatewayOptions;
pub use openapi::{document, router};
pub use server::serve;
pub use tls::{Tls, TlsError};
