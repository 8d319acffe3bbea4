//! Which files this binary reads, written in each file's own table of facts.

use redb::{Database, ReadableDatabase, TableDefinition};

use crate::error::OpenError;

/// The format of both files. A change that older binaries cannot read counts it up.
pub const FORMAT_VERSION: u64 = 3;

/// Facts about a file, by name.
pub(crate) const FACTS: TableDefinition<'static, &str, u64> = TableDefinition::new("facts");

const FORMAT: &str = "format_version";
const PARTITIONS: &str = "partitions";

/// Refuses a file of another format or shape; marks a new one.
pub(crate) fn check(
    database: &Database,
    file: &'static str,
    partitions: u16,
) -> Result<(), OpenError> {
    let wrap = |source: redb::Error| OpenError::Database {
        file,
        source: Box::new(source),
    };
    let known = facts(database).map_err(wrap)?;
    match known {
        Some((FORMAT_VERSION, found)) if found == u64::from(partitions) => Ok(()),
        Some((FORMAT_VERSION, found)) => Err(OpenError::Partitions {
            found: u16::try_from(found).unwrap_or(u16::MAX),
            asked: partitions,
        }),
        Some((found, _)) => Err(OpenError::FormatVersion {
            file,
            found,
            supported: FORMAT_VERSION,
        }),
        None => mark(database, partitions).map_err(wrap),
    }
}

/// Format and partitions of a file that was used before.
pub(crate) fn facts(database: &Database) -> Result<Option<(u64, u64)>, redb::Error> {
    let read = database.begin_read()?;
    let table = match read.open_table(FACTS) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let version = table.get(FORMAT)?.map(|value| value.value());
    let partitions = table.get(PARTITIONS)?.map_or(0, |value| value.value());
    Ok(version.map(|version| (version, partitions)))
}

fn mark(database: &Database, partitions: u16) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(FACTS)?;
        table.insert(FORMAT, FORMAT_VERSION)?;
        table.insert(PARTITIONS, u64::from(partitions))?;
    }
    write.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_and_another_shape_are_refused_with_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = Database::create(dir.path().join("x.redb")).expect("creates");
        check(&database, "x.redb", 8).expect("new");
        check(&database, "x.redb", 8).expect("the same");
        let shape = check(&database, "x.redb", 4)
            .expect_err("another shape")
            .to_string();
        assert!(shape.contains("set partitions = 8"), "{shape}");
        let write = database.begin_write().expect("begins");
        write
            .open_table(FACTS)
            .expect("opens")
            .insert(FORMAT, 99)
            .expect("inserts");
        write.commit().expect("commits");
        let version = check(&database, "x.redb", 8)
            .expect_err("another version")
            .to_string();
        assert!(
            version.contains("format version 99") && version.contains("restore a backup"),
            "{version}"
        );
    }
}
