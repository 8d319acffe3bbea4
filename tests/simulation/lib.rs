//! Whole clusters in simulated time, under faults drawn from a seed. All of it is a test: see `main.rs`.
