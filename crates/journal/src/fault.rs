//! A disk in memory that fails, tears and forgets on command: the storage seam of crash tests.
//!
//! In: the reads and writes of redb, and a plan ("at the n-th write or sync, do this"). Out: after
//! [`Disk::power_loss`], what a real disk might hold: everything that was synced, and of what was
//! not, any part, in whole sectors, in any order.

use std::io;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use redb::StorageBackend;

/// A write that was not synced is kept or lost by this many bytes.
const SECTOR_BYTES: usize = 512;

/// What happens at the planned operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It returns an error and does nothing; so does everything after it.
    Fail,
    /// A write is done in part, then as `Fail`.
    Tear,
}

/// A disk that outlives the databases on it.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Debug, Default)]
struct Platter {
    synced: Vec<u8>,
    current: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    operations: u64,
    plan: Option<(u64, Fault)>,
    broken: bool,
    /// Counts crashes; who was there before one writes nothing after it.
    life: u64,
    forgets: bool,
}

impl Disk {
    /// A backend on this disk.
    #[must_use]
    pub fn backend(&self) -> Box<dyn StorageBackend> {
        let life = self.0.lock().life;
        Box::new(Backend {
            disk: self.clone(),
            life,
        })
    }

    /// The process ends, the machine runs on: what was written is there, synced or not; backends of
    /// before reach the disk no more.
    pub fn process_ends(&self) {
        let mut platter = self.0.lock();
        platter.life += 1;
        platter.plan = None;
        platter.broken = false;
    }

    /// Another disk takes its place, an empty one; backends of before reach it no more.
    pub fn replace(&self) {
        let mut platter = self.0.lock();
        let life = platter.life + 1;
        *platter = Platter {
            life,
            ..Platter::default()
        };
    }

    /// From now on a sync says that it is done, and does nothing.
    pub fn forget_syncs(&self) {
        self.0.lock().forgets = true;
    }

    /// Writes, size changes and syncs so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// At the `nth` operation from now on (from 0), `fault` happens.
    pub fn plan(&self, nth: u64, fault: Fault) {
        let mut platter = self.0.lock();
        platter.plan = Some((platter.operations + nth, fault));
    }

    /// Whether the planned fault has happened.
    #[must_use]
    pub fn broken(&self) -> bool {
        self.0.lock().broken
    }

    /// The power goes: of what was not synced, `seed` decides sector by sector what is kept. The
    /// disk works again afterwards, for backends made from then on.
    pub fn power_loss(&self, seed: u64) {
        let mut platter = self.0.lock();
        let mut state = seed | 1;
        let mut kept = std::mem::take(&mut platter.synced);
        kept.resize(platter.current.len().max(kept.len()), 0);
        for (offset, bytes) in std::mem::take(&mut platter.unsynced) {
            for (nth, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                // xorshift64: any sequence will do, as long as a seed gives it again.
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                if state & 1 == 0 {
                    let at = offset + nth * SECTOR_BYTES;
                    kept[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
        platter.current.clone_from(&kept);
        platter.synced = kept;
        platter.life += 1;
        platter.plan = None;
        platter.broken = false;
    }

    /// Flips one bit of what is stored.
    pub fn flip_bit(&self, at: usize) {
        let mut platter = self.0.lock();
        if let Some(byte) = platter.current.get_mut(at) {
            *byte ^= 1;
        }
        if let Some(byte) = platter.synced.get_mut(at) {
            *byte ^= 1;
        }
    }

    /// What is stored at `at` becomes `bytes`.
    pub fn overwrite(&self, at: usize, bytes: &[u8]) {
        let platter = &mut *self.0.lock();
        for stored in [&mut platter.current, &mut platter.synced] {
            if let Some(place) = stored.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        }
    }

    /// Bytes of the file.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.lock().current.len()
    }

    /// Where `needle` is stored.
    #[must_use]
    pub fn find(&self, needle: &[u8]) -> Option<usize> {
        self.0
            .lock()
            .current
            .windows(needle.len())
            .position(|window| window == needle)
    }
}

#[derive(Debug)]
struct Backend {
    disk: Disk,
    life: u64,
}

impl Backend {
    /// The disk, unless there was a crash since it was opened.
    fn platter(&self) -> Result<MutexGuard<'_, Platter>, io::Error> {
        let platter = self.disk.0.lock();
        if platter.life == self.life {
            Ok(platter)
        } else {
            Err(io::Error::other("its process has ended"))
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("the disk is broken, as planned")
}

impl Platter {
    /// Counts an operation; says what the plan has for it.
    fn step(&mut self) -> Result<Option<Fault>, io::Error> {
        if self.broken {
            return Err(broken());
        }
        let nth = self.operations;
        self.operations += 1;
        match self.plan {
            Some((at, fault)) if at == nth => {
                self.broken = true;
                Ok(Some(fault))
            }
            _ => Ok(None),
        }
    }

    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.current.len() < end {
            self.current.resize(end, 0);
        }
        self.current[offset..end].copy_from_slice(bytes);
        self.unsynced.push((offset, bytes.to_vec()));
    }
}

fn place(offset: u64) -> Result<usize, io::Error> {
    usize::try_from(offset).map_err(io::Error::other)
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.platter()?.current.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let platter = self.platter()?;
        let at = place(offset)?;
        let bytes = platter.current.get(at..at + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        let mut platter = self.platter()?;
        if platter.step()?.is_some() {
            return Err(broken());
        }
        let len = place(len)?;
        if len < platter.current.len() {
            // A shorter file keeps nothing beyond its end, synced or not.
            platter
                .unsynced
                .retain(|(offset, bytes)| offset + bytes.len() <= len);
            platter.synced.truncate(len);
        }
        platter.current.resize(len, 0);
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        let mut platter = self.platter()?;
        if platter.step()?.is_some() {
            return Err(broken());
        }
        if platter.forgets {
            return Ok(());
        }
        let length = platter.current.len();
        platter.synced.resize(length, 0);
        for (offset, bytes) in std::mem::take(&mut platter.unsynced) {
            // A shorter file keeps nothing beyond its end.
            if let Some(place) = platter.synced.get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        let mut platter = self.platter()?;
        let at = place(offset)?;
        match platter.step()? {
            None => platter.write(at, data),
            Some(Fault::Tear) => {
                platter.write(at, &data[..data.len() / 2]);
                return Err(broken());
            }
            Some(Fault::Fail) => return Err(broken()),
        }
        Ok(())
    }
}
