//! Migrations of the schema.
//!
//! New migrations are appended; existing ones never change. All missing migrations run in one transaction under an
//! advisory lock, so several instances may start at the same time: one of them migrates, and the others wait and then
//! find no missing migration. All statements here are unnamed, so that they also work behind a pooler in transaction
//! mode.

use sha2::{Digest, Sha256};
use tokio_postgres::types::{ToSql, Type};

use super::error::Error;
use super::fitness;
use super::pool::Store;

struct Migration {
    number: i32,
    name: &'static str,
    sql: &'static str,
}

const MIGRATIONS: [Migration; 12] = [
    Migration {
        number: 1,
        name: "initial",
        sql: include_str!("../../sql/migrations/0001_initial.sql"),
    },
    Migration { number: 2, name: "jobs", sql: include_str!("../../sql/migrations/0002_jobs.sql") },
    Migration {
        number: 3,
        name: "seasons",
        sql: include_str!("../../sql/migrations/0003_seasons.sql"),
    },
    Migration {
        number: 4,
        name: "silences",
        sql: include_str!("../../sql/migrations/0004_silences.sql"),
    },
    Migration {
        number: 5,
        name: "identity",
        sql: include_str!("../../sql/migrations/0005_identity.sql"),
    },
    Migration {
        number: 6,
        name: "folded_names",
        sql: include_str!("../../sql/migrations/0006_folded_names.sql"),
    },
    Migration {
        number: 7,
        name: "command_hash",
        sql: include_str!("../../sql/migrations/0007_command_hash.sql"),
    },
    Migration {
        number: 8,
        name: "item_texts",
        sql: include_str!("../../sql/migrations/0008_item_texts.sql"),
    },
    Migration {
        number: 9,
        name: "rings",
        sql: include_str!("../../sql/migrations/0009_rings.sql"),
    },
    Migration {
        number: 10,
        name: "signals",
        sql: include_str!("../../sql/migrations/0010_signals.sql"),
    },
    Migration {
        number: 11,
        name: "streams",
        sql: include_str!("../../sql/migrations/0011_streams.sql"),
    },
    Migration {
        number: 12,
        name: "notifications",
        sql: include_str!("../../sql/migrations/0012_notifications.sql"),
    },
];

impl Store {
    /// Applies the missing migrations and returns their names.
    ///
    /// # Errors
    /// Returns [`Error::Unfit`] if the database does not meet the requirements of the server, [`Error::Corrupt`] if an
    /// applied migration differs from the one in this build, otherwise the error of the statement.
    pub async fn migrate(&self) -> Result<Vec<&'static str>, Error> {
        let mut client = self.connection().await?;
        let transaction = client.transaction().await?;
        fitness::check(&transaction.query_typed_one(fitness::SQL, &[]).await?)?;
        transaction.batch_execute(include_str!("../../sql/queries/migrations/prepare.sql")).await?;
        let applied_sql = include_str!("../../sql/queries/migrations/applied.sql");
        let applied = transaction.query_typed(applied_sql, &[]).await?;
        let mut added = Vec::new();
        for migration in &MIGRATIONS {
            let checksum = Sha256::digest(migration.sql).to_vec();
            let known = applied.iter().find(|row| row.get::<_, i32>("number") == migration.number);
            match known {
                Some(row) if row.get::<_, Vec<u8>>("checksum") == checksum => {}
                Some(_) => {
                    let name = migration.name;
                    return Err(Error::Corrupt(format!(
                        "the applied migration {name} differs from the one in this build"
                    )));
                }
                None => {
                    transaction.batch_execute(migration.sql).await?;
                    let sql = include_str!("../../sql/queries/migrations/note.sql");
                    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
                        (&migration.number, Type::INT4),
                        (&migration.name, Type::TEXT),
                        (&checksum, Type::BYTEA),
                    ];
                    transaction.execute_typed(sql, &parameters).await?;
                    added.push(migration.name);
                }
            }
        }
        transaction.commit().await?;
        Ok(added)
    }

    /// How many migrations of this build have not been applied to the database.
    ///
    /// # Errors
    /// Returns the error of the statement.
    pub async fn pending_migrations(&self) -> Result<usize, Error> {
        let client = self.connection().await?;
        let sql = include_str!("../../sql/queries/migrations/exists.sql");
        if !client.query_typed_one(sql, &[]).await?.get::<_, bool>("exists") {
            return Ok(MIGRATIONS.len());
        }
        let sql = include_str!("../../sql/queries/migrations/applied.sql");
        let applied = client.query_typed(sql, &[]).await?;
        let known = |migration: &&Migration| {
            applied.iter().any(|row| row.get::<_, i32>("number") == migration.number)
        };
        Ok(MIGRATIONS.iter().filter(|migration| !known(migration)).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitness_check_covers_every_table() {
        let mut found = 0;
        for migration in &MIGRATIONS {
            for line in migration.sql.lines() {
                let line = line.replace("create unlogged table", "create table");
                let Some(rest) = line.strip_prefix("create table ") else { continue };
                let name = rest.split([' ', '(']).next().unwrap_or_default();
                let is_named = fitness::SQL.contains(&format!("'{name}'"))
                    || fitness::SQL.contains(&format!("'{}%'", name.replace('_', "\\_")));
                let rings = ["idempotency_records_", "stream_events_"];
                let is_partition = rings.iter().any(|ring| name.starts_with(ring));
                assert!(is_named || is_partition, "fitness.sql does not list {name}");
                found += 1;
            }
        }
        assert!(found > 15, "{found} tables were found");
    }
}
