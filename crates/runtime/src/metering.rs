//! The runtime's metrics, looked up once per host, so that counting costs one addition.

use metrics::{Counter, counter};

/// Counters of one kind of entity.
pub(crate) struct HostMetrics {
    /// Commands decided.
    pub(crate) commands: Counter,
    /// Batches written.
    pub(crate) batches: Counter,
    /// Actors that came.
    pub(crate) spawned: Counter,
    /// Actors that left.
    pub(crate) retired: Counter,
    /// States read from disk.
    pub(crate) loaded: Counter,
    /// Commands that panicked, and actors that failed.
    pub(crate) panics: Counter,
    /// Effects sent again.
    pub(crate) resends: Counter,
    /// Messages between entities that found no room.
    pub(crate) dropped: Counter,
}

impl HostMetrics {
    pub(crate) fn new(kind: &'static str) -> HostMetrics {
        HostMetrics {
            commands: counter!("consign_runtime_commands_total", "kind" => kind),
            batches: counter!("consign_runtime_batches_total", "kind" => kind),
            spawned: counter!("consign_runtime_actors_spawned_total", "kind" => kind),
            retired: counter!("consign_runtime_actors_retired_total", "kind" => kind),
            loaded: counter!("consign_runtime_states_loaded_total", "kind" => kind),
            panics: counter!("consign_runtime_panics_total", "kind" => kind),
            resends: counter!("consign_runtime_effects_resent_total", "kind" => kind),
            dropped: counter!("consign_runtime_messages_dropped_total", "kind" => kind),
        }
    }
}
