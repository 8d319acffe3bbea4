//! The directory of commands: which entity a key's command went to, and what it answered (L3).
//!
//! In: keys of outside commands, and the answers of committed batches. Out: for each key, the
//! entity that has it and the first answer. Three layers: keys in use at this moment, answers
//! since the last checkpoint, answers on disk for `command_memory`. What is in use decides: the
//! disk is asked once, when a key comes into use.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::types::{CommandKey, EntityRef, KeyReused, ReadError, Remembered};

const SHARD_BITS: u32 = 6;
/// Answers of a shard for which room is kept in any case.
const ROOM_KEPT: usize = 1_024;
/// How long a claimed key waits for its command.
const CLAIM_MAX: Duration = Duration::from_secs(60);

/// A key in use.
#[derive(Debug)]
struct InUse {
    entity: EntityRef,
    body: u128,
    /// Commands with this key that were sent and not yet answered.
    holds: u32,
    claimed_until: Option<Instant>,
    done: Option<Remembered>,
}

#[derive(Debug, Default)]
struct Shard {
    in_use: HashMap<u128, InUse>,
    recent: HashMap<u128, Remembered>,
}

/// Reads an answer from disk.
pub(crate) type FromDisk<'a> = &'a dyn Fn(u128) -> Result<Option<Remembered>, ReadError>;

#[derive(Debug)]
pub(crate) struct Commands {
    shards: Vec<Mutex<Shard>>,
    /// Counts the times at which answers left memory for the disk.
    moves: AtomicU64,
}

/// Why a key cannot be used.
#[derive(Debug)]
pub(crate) enum KeyError {
    Reused(KeyReused),
    Read(ReadError),
}

impl Default for Commands {
    fn default() -> Self {
        let shards = (0..1 << SHARD_BITS).map(|_| Mutex::default()).collect();
        Self {
            shards,
            moves: AtomicU64::new(0),
        }
    }
}

impl Commands {
    fn shard(&self, id: u128) -> &Mutex<Shard> {
        // By the highest bits: a shard is a range of ids, which lie side by side on disk.
        &self.shards[usize::try_from(id >> (u128::BITS - SHARD_BITS)).unwrap_or_default()]
    }

    /// Brings the key into use for `candidate`, unless it has gone elsewhere before; says where it
    /// belongs and whether it is new.
    pub(crate) fn claim(
        &self,
        key: CommandKey,
        candidate: EntityRef,
        disk: FromDisk<'_>,
    ) -> Result<(EntityRef, bool), KeyError> {
        self.enter(key, candidate, disk, |in_use, new| {
            in_use.claimed_until = Some(Instant::now() + CLAIM_MAX);
            (in_use.entity.clone(), new)
        })
    }

    /// Counts one command with this key in flight, until [`Commands::release`]. Gives the first
    /// answer, if the command was done before.
    pub(crate) fn hold(
        &self,
        key: CommandKey,
        entity: EntityRef,
        disk: FromDisk<'_>,
    ) -> Result<Option<Remembered>, KeyError> {
        let wanted = entity.clone();
        let (elsewhere, done) = self.enter(key, entity, disk, |in_use, _| {
            if in_use.entity != wanted {
                return (Some(in_use.entity.clone()), None);
            }
            in_use.holds += 1;
            in_use.claimed_until = None;
            (None, in_use.done.clone())
        })?;
        match elsewhere {
            Some(entity) => Err(KeyError::Reused(KeyReused { entity })),
            None => Ok(done),
        }
    }

    /// One command with this key was answered.
    pub(crate) fn release(&self, id: u128) {
        let mut shard = self.shard(id).lock();
        if let Some(in_use) = shard.in_use.get_mut(&id) {
            in_use.holds = in_use.holds.saturating_sub(1);
            if in_use.holds == 0
                && in_use
                    .claimed_until
                    .is_none_or(|until| until <= Instant::now())
            {
                shard.in_use.remove(&id);
            }
        }
    }

    /// The answer to a key that is in use: whether its command has been done meanwhile.
    pub(crate) fn done(&self, id: u128) -> Option<Remembered> {
        let shard = self.shard(id).lock();
        match shard.in_use.get(&id) {
            Some(in_use) => in_use.done.clone(),
            None => shard.recent.get(&id).cloned(),
        }
    }

    /// The answer to any key.
    pub(crate) fn remembered(
        &self,
        id: u128,
        disk: FromDisk<'_>,
    ) -> Result<Option<Remembered>, ReadError> {
        match self.done(id) {
            Some(remembered) => Ok(Some(remembered)),
            None => disk(id),
        }
    }

    /// A command's answer is durable.
    pub(crate) fn record(&self, id: u128, remembered: Remembered) {
        let mut shard = self.shard(id).lock();
        if let Some(in_use) = shard.in_use.get_mut(&id) {
            in_use.done = Some(remembered.clone());
        }
        shard.recent.insert(id, remembered);
    }

    /// Forgets answers of entities: the disk knows better.
    pub(crate) fn forget(&self, is_gone: &dyn Fn(&EntityRef) -> bool) {
        self.moves.fetch_add(1, Ordering::SeqCst);
        for shard in &self.shards {
            shard.lock().recent.retain(|_, done| !is_gone(&done.entity));
        }
    }

    /// The shards, each a range of ids, rising.
    pub(crate) fn shards(&self) -> std::ops::Range<usize> {
        0..self.shards.len()
    }

    /// All answers of a shard since the last checkpoint, by id.
    pub(crate) fn recent(&self, shard: usize) -> Vec<(u128, Remembered)> {
        let shard = self.shards[shard].lock();
        let mut all: Vec<_> = shard
            .recent
            .iter()
            .map(|(id, done)| (*id, done.clone()))
            .collect();
        drop(shard);
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// These answers are on disk now. Also forgets claims whose command never came.
    pub(crate) fn moved(&self, ids: impl IntoIterator<Item = u128>) {
        self.moves.fetch_add(1, Ordering::SeqCst);
        for id in ids {
            self.shard(id).lock().recent.remove(&id);
        }
    }

    /// Forgets claims whose command never came, and gives room back that a peak has left.
    pub(crate) fn sweep(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.in_use.retain(|_, in_use| {
                in_use.holds > 0 || in_use.claimed_until.is_some_and(|until| until > now)
            });
            let room = 2 * shard.recent.len().max(ROOM_KEPT);
            if shard.recent.capacity() > 2 * room {
                shard.recent.shrink_to(room);
            }
        }
    }

    fn enter<T>(
        &self,
        key: CommandKey,
        candidate: EntityRef,
        disk: FromDisk<'_>,
        mut then: impl FnMut(&mut InUse, bool) -> T,
    ) -> Result<T, KeyError> {
        loop {
            let moves = self.moves.load(Ordering::SeqCst);
            let mut shard = self.shard(key.id).lock();
            if let Some(in_use) = shard.in_use.get_mut(&key.id) {
                return checked(in_use, key).map(|in_use| then(in_use, false));
            }
            let mut known = shard.recent.get(&key.id).cloned();
            drop(shard);
            if known.is_none() {
                known = disk(key.id).map_err(KeyError::Read)?;
            }
            let mut shard = self.shard(key.id).lock();
            let appeared = known.is_none() && shard.recent.contains_key(&key.id);
            if appeared || self.moves.load(Ordering::SeqCst) != moves {
                // An answer came, or went from memory to disk, between the two looks: look again.
                continue;
            }
            let new = known.is_none() && !shard.in_use.contains_key(&key.id);
            let in_use = shard.in_use.entry(key.id).or_insert_with(|| InUse {
                entity: known
                    .as_ref()
                    .map_or(candidate, |known| known.entity.clone()),
                body: known.as_ref().map_or(key.body, |known| known.body),
                holds: 0,
                claimed_until: None,
                done: known,
            });
            let result = checked(in_use, key).map(|in_use| then(in_use, new));
            // A refused key must not stay in use on its own account.
            if shard
                .in_use
                .get(&key.id)
                .is_some_and(|in_use| in_use.holds == 0 && in_use.claimed_until.is_none())
            {
                shard.in_use.remove(&key.id);
            }
            return result;
        }
    }
}

fn checked(in_use: &mut InUse, key: CommandKey) -> Result<&mut InUse, KeyError> {
    if in_use.body == key.body {
        Ok(in_use)
    } else {
        Err(KeyError::Reused(KeyReused {
            entity: in_use.entity.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use consign_domain::time::Timestamp;

    fn entity(name: &str) -> EntityRef {
        let mut bytes = vec![1];
        bytes.extend_from_slice(name.as_bytes());
        EntityRef::from_bytes(&bytes).expect("valid")
    }

    fn nothing(_: u128) -> Result<Option<Remembered>, ReadError> {
        Ok(None)
    }

    fn answer(name: &str) -> Remembered {
        Remembered {
            entity: entity(name),
            body: 1,
            reply: Bytes::from_static(b"r"),
            version: 3,
            recorded_at: Timestamp(9),
        }
    }

    const KEY: CommandKey = CommandKey { id: 5, body: 1 };

    /// Two requests with one key race with two freshly minted ids: one id wins (L3).
    #[test]
    fn a_claimed_key_goes_to_the_first_candidate() {
        let commands = Commands::default();
        assert_eq!(
            commands.claim(KEY, entity("a"), &nothing).expect("new"),
            (entity("a"), true)
        );
        assert_eq!(
            commands.claim(KEY, entity("b"), &nothing).expect("known"),
            (entity("a"), false)
        );
        assert!(matches!(
            commands.hold(KEY, entity("b"), &nothing),
            Err(KeyError::Reused(_))
        ));
        assert_eq!(
            commands.hold(KEY, entity("a"), &nothing).expect("held"),
            None
        );
        commands.record(KEY.id, answer("a"));
        assert_eq!(commands.done(KEY.id), Some(answer("a")));
        commands.release(KEY.id);
        let other_body = CommandKey { id: 5, body: 2 };
        assert!(matches!(
            commands.claim(other_body, entity("c"), &nothing),
            Err(KeyError::Reused(_))
        ));
    }

    #[test]
    fn a_rejected_command_leaves_its_key_free() {
        let commands = Commands::default();
        assert_eq!(
            commands.hold(KEY, entity("a"), &nothing).expect("held"),
            None
        );
        commands.release(KEY.id);
        assert_eq!(
            commands.claim(KEY, entity("b"), &nothing).expect("free"),
            (entity("b"), true)
        );
    }

    #[test]
    fn answers_are_found_in_memory_and_on_disk() {
        let commands = Commands::default();
        commands.record(KEY.id, answer("a"));
        assert_eq!(commands.recent(0), vec![(KEY.id, answer("a"))]);
        commands.moved([KEY.id]);
        assert_eq!(commands.remembered(KEY.id, &nothing).expect("read"), None);
        let disk = |_| Ok(Some(answer("a")));
        assert_eq!(
            commands.hold(KEY, entity("a"), &disk).expect("known"),
            Some(answer("a"))
        );
        assert_eq!(
            commands
                .claim(KEY, entity("z"), &nothing)
                .expect("in use")
                .0,
            entity("a")
        );
    }
}
