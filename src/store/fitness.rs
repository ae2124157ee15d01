//! Whether the server can work in a database. Without this check some problems would appear only when players use the
//! server.

use tokio_postgres::Row;

use super::error::Error;
use super::pool::Store;

/// The encoding that can store text of every script.
const ENCODING: &str = "UTF8";

pub(super) const SQL: &str = include_str!("../../sql/queries/migrations/fitness.sql");

/// The result of the query.
struct Found {
    encoding: String,
    /// The schema in which tables are created; `None` if no schema of `search_path` exists.
    schema: Option<String>,
    search_path: String,
    may_create: bool,
    role: String,
    database: String,
    /// Tables on which the role lacks a privilege that the server needs.
    barred: Vec<String>,
}

impl Store {
    /// Checks that the database has what the server needs. Migrations do so too.
    ///
    /// # Errors
    /// Returns [`Error::Unfit`] with everything that is missing and how to fix it, otherwise the error of the
    /// statement.
    pub async fn check_fitness(&self) -> Result<(), Error> {
        let client = self.connection().await?;
        check(&client.query_typed_one(SQL, &[]).await?)
    }
}

/// Reads the result of [`SQL`].
pub(super) fn check(row: &Row) -> Result<(), Error> {
    let found = Found {
        encoding: row.try_get("encoding")?,
        schema: row.try_get("schema")?,
        search_path: row.try_get("search_path")?,
        may_create: row.try_get("may_create")?,
        role: row.try_get("role")?,
        database: row.try_get("database")?,
        barred: row.try_get("barred")?,
    };
    let faults = found.faults();
    if faults.is_empty() { Ok(()) } else { Err(Error::Unfit(faults.join("; "))) }
}

impl Found {
    fn faults(&self) -> Vec<String> {
        let Self { encoding, schema, search_path, role, database, .. } = self;
        let mut faults = Vec::new();
        if encoding != ENCODING {
            faults.push(format!(
                "the encoding of the database {database} is {encoding}, which has no room for all names: make one with \
                 create database ... encoding 'UTF8' template template0, and move what is in this one with pg_dump and psql"
            ));
        }
        match schema {
            None => faults.push(format!(
                "no schema of the search_path ({search_path}) exists for the role {role}: create one, grant usage on it, or \
                 alter role {role} set search_path = public"
            )),
            Some(schema) if !self.may_create => faults.push(format!(
                "the role {role} may not create tables in the schema {schema}: grant create on schema {schema} to {role}, or \
                 alter database {database} owner to {role}"
            )),
            Some(_) => {}
        }
        if let Some(first) = self.barred.first() {
            faults.push(format!(
                "the role {role} may not use {} of the server's tables, such as {first}: connect as the role that made \
                 them, or give them away with reassign owned by ... to {role}",
                self.barred.len()
            ));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit() -> Found {
        Found {
            encoding: "UTF8".to_owned(),
            schema: Some("public".to_owned()),
            search_path: "\"$user\", public".to_owned(),
            may_create: true,
            role: "game".to_owned(),
            database: "idle".to_owned(),
            barred: Vec::new(),
        }
    }

    #[test]
    fn every_fault_is_told_and_nothing_else() {
        assert_eq!(fit().faults(), [""; 0]);
        let latin = Found { encoding: "LATIN1".to_owned(), ..fit() };
        let lost = Found { schema: None, search_path: "nowhere".to_owned(), ..fit() };
        let poor = Found { may_create: false, ..fit() };
        let barred = Found { barred: vec!["jobs".to_owned(), "players".to_owned()], ..fit() };
        for (found, told) in
            [(latin, "LATIN1"), (lost, "(nowhere)"), (poor, "schema public"), (barred, "jobs")]
        {
            let faults = found.faults();
            assert!(faults.len() == 1 && faults[0].contains(told), "{faults:?}");
        }
        let all = Found { encoding: "SQL_ASCII".to_owned(), may_create: false, ..fit() };
        assert_eq!(all.faults().len(), 2);
    }
}
