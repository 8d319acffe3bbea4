//! The replicated journal: one node, several in one process, fences, and what a restart finds.

mod alone;
mod reshape;
mod shape;
mod three;
mod world;
