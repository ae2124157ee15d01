//! Checks whether the database meets the requirements of the server. Without this check some problems would appear only
//! when players use the server.

use tokio_postgres::Row;

use super::error::Error;
use super::pool::Store;

/// The required encoding. Other encodings cannot store every character of a display name.
const ENCODING: &str = "UTF8";

pub(super) const SQL: &str = include_str!("../../sql/queries/migrations/fitness.sql");

/// The result of [`SQL`].
struct Found {
    encoding: String,
    /// The schema in which tables are created; `None` if no schema of `search_path` exists.
    schema: Option<String>,
    search_path: String,
    may_create: bool,
    role: String,
    database: String,
    /// The server's tables on which the role does not have all required privileges.
    inaccessible: Vec<String>,
}

impl Store {
    /// Checks that the database meets the requirements of the server. [`Store::migrate`] checks this too.
    ///
    /// # Errors
    /// Returns [`Error::Unfit`] with all unmet requirements and how to fix them, otherwise the error of the statement.
    pub async fn check_fitness(&self) -> Result<(), Error> {
        let client = self.connection().await?;
        check(&client.query_typed_one(SQL, &[]).await?)
    }
}

/// Checks the result of [`SQL`].
pub(super) fn check(row: &Row) -> Result<(), Error> {
    let found = Found {
        encoding: row.try_get("encoding")?,
        schema: row.try_get("schema")?,
        search_path: row.try_get("search_path")?,
        may_create: row.try_get("may_create")?,
        role: row.try_get("role")?,
        database: row.try_get("database")?,
        inaccessible: row.try_get("barred")?,
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
                "the encoding of the database {database} is {encoding}, which cannot store all display names: create a \
                 database with create database ... encoding 'UTF8' template template0, and move the data to it with \
                 pg_dump and psql"
            ));
        }
        match schema {
            None => faults.push(format!(
                "the role {role} cannot use any schema of the search_path ({search_path}): create a schema, grant \
                 usage on it, or alter role {role} set search_path = public"
            )),
            Some(schema) if !self.may_create => faults.push(format!(
                "the role {role} may not create tables in the schema {schema}: grant create on schema {schema} to \
                 {role}, or alter database {database} owner to {role}"
            )),
            Some(_) => {}
        }
        if let Some(first) = self.inaccessible.first() {
            faults.push(format!(
                "the role {role} does not have all privileges on {} of the server's tables, such as {first}: connect \
                 as the role that made them, or transfer them with reassign owned by ... to {role}",
                self.inaccessible.len()
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
            inaccessible: Vec::new(),
        }
    }

    #[test]
    fn exactly_the_existing_faults_are_reported() {
        assert_eq!(fit().faults(), [""; 0]);
        let latin = Found { encoding: "LATIN1".to_owned(), ..fit() };
        let schemaless = Found { schema: None, search_path: "nowhere".to_owned(), ..fit() };
        let unprivileged = Found { may_create: false, ..fit() };
        let tables = vec!["jobs".to_owned(), "players".to_owned()];
        let inaccessible = Found { inaccessible: tables, ..fit() };
        for (found, expected) in [
            (latin, "LATIN1"),
            (schemaless, "(nowhere)"),
            (unprivileged, "schema public"),
            (inaccessible, "jobs"),
        ] {
            let faults = found.faults();
            assert!(faults.len() == 1 && faults[0].contains(expected), "{faults:?}");
        }
        let all = Found { encoding: "SQL_ASCII".to_owned(), may_create: false, ..fit() };
        assert_eq!(all.faults().len(), 2);
    }
}
