//! The columns of a player's row: the one list from which statements, parameters and decoding are made.
//!
//! To add a column, add it by a migration, add a field to the domain, and add an entry to [`COLUMNS`]. Statements
//! contain `{{player_columns}}` and other placeholders, which [`expand`] replaces. The test
//! `player_columns::a_commit_writes_every_field` fails for a field without a column.

use std::fmt::Write as _;
use std::sync::LazyLock;

use tokio_postgres::Row;
use tokio_postgres::types::{Json, ToSql, Type};

use super::commit::{Change, Written, signed};
use super::error::Error;
use super::players::{InventoryColumn, PlayerRecord};
use crate::domain::{Away, Season, Timestamp, finite};

/// A value of a statement's parameter.
pub(super) type Parameter<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Reads one column of a row into a record.
type Read = fn(&Row, &mut PlayerRecord) -> Result<(), Error>;

/// Columns that a commit does not write: they are set when the player is created, or by other statements.
const NEVER_COMMITTED: &str = "player_id, revision, username, created_at, banned_at";

/// A column that a commit writes.
pub(super) struct Column {
    name: &'static str,
    /// The type as SQL and binary copies name it.
    sql_type: (&'static str, Type),
    /// Whether clicking and being present change it. The statements for clicks set these columns by themselves.
    changes_by_click: bool,
    /// Whether the parameter is null if the value is unchanged, because it is large.
    omitted_if_unchanged: bool,
    /// The values of a batch as an array.
    pub(super) array: fn(&[Change<'_>]) -> Parameter<'static>,
    /// One value.
    pub(super) value: fn(&Written<'_>) -> Parameter<'static>,
    /// Whether two rows have the same value.
    is_same: fn(&PlayerRecord, &PlayerRecord) -> bool,
    /// Reads the column into a record. `None` for columns that are calculated from others.
    read: Option<Read>,
}

/// The SQL type of a column's parameter.
macro_rules! sql_type {
    (bigint) => {
        ("bigint", Type::INT8)
    };
    (float8) => {
        ("float8", Type::FLOAT8)
    };
    (timestamptz) => {
        ("timestamptz", Type::TIMESTAMPTZ)
    };
    (jsonb) => {
        ("jsonb", Type::JSONB)
    };
    (text) => {
        ("text", Type::TEXT)
    };
}

/// A column: its name and type, the value of a written row, and how the value is read into a record. A column that is only
/// `calculated` is not compared and not read. The value of an `omitted` column is sent only if `is_same` is false.
macro_rules! column {
    ($name:ident $type:ident $(($click:ident))?, $value:expr, $read:expr) => {
        Column {
            changes_by_click: false $(|| stringify!($click) == "click")?,
            omitted_if_unchanged: false,
            array: |changes| Box::new(changes.iter().map(|it| $value(&it.written)).collect::<Vec<_>>()),
            is_same: |before, after| $value(&Written::of(before)) == $value(&Written::of(after)),
            read: Some($read),
            ..column!(calculated $name $type, $value)
        }
    };
    (calculated $name:ident $type:ident, $value:expr) => {
        Column {
            name: stringify!($name),
            sql_type: sql_type!($type),
            changes_by_click: true,
            omitted_if_unchanged: false,
            array: |changes| Box::new(changes.iter().map(|it| $value(&it.written)).collect::<Vec<_>>()),
            value: |written| Box::new($value(written)),
            is_same: |_, _| true,
            read: None,
        }
    };
    (omitted $name:ident $type:ident, $value:expr, $is_same:expr, $read:expr) => {
        Column {
            changes_by_click: false,
            omitted_if_unchanged: true,
            array: |changes| {
                let value = |it: &Change<'_>| {
                    (!$is_same(it.base, it.written.record)).then(|| $value(&it.written))
                };
                Box::new(changes.iter().map(value).collect::<Vec<_>>())
            },
            is_same: $is_same,
            read: Some($read),
            ..column!(calculated $name $type, $value)
        }
    };
}

/// All columns that a commit writes. The end of an absence comes before its other columns, which need it when they are read.
#[rustfmt::skip]
pub(super) static COLUMNS: LazyLock<Vec<Column>> = LazyLock::new(|| {
    vec![
        column!(version bigint (click), |it: &Written<'_>| signed(it.record.player.version),
            |row, it| { it.player.version = row.try_get::<_, i64>("version")?.unsigned_abs(); Ok(()) }),
        column!(energy float8 (click), |it: &Written<'_>| it.record.player.energy,
            |row, it| { it.player.energy = amount(row, "energy")?; Ok(()) }),
        column!(lifetime_energy float8 (click), |it: &Written<'_>| it.record.player.lifetime_energy,
            |row, it| { it.player.lifetime_energy = amount(row, "lifetime_energy")?; Ok(()) }),
        column!(settled_at timestamptz (click), |it: &Written<'_>| it.record.player.settled_at,
            |row, it| { it.player.settled_at = row.try_get("settled_at")?; Ok(()) }),
        column!(last_seen_at timestamptz (click), |it: &Written<'_>| it.record.player.last_seen_at,
            |row, it| { it.player.last_seen_at = row.try_get("last_seen_at")?; Ok(()) }),
        column!(calculated accrues_until timestamptz, |it: &Written<'_>| it.accrues_until),
        column!(click_tokens float8 (click), |it: &Written<'_>| it.record.player.clicks.tokens,
            |row, it| { it.player.clicks.tokens = amount(row, "click_tokens")?; Ok(()) }),
        column!(clicks_filled_at timestamptz (click), |it: &Written<'_>| it.record.player.clicks.filled_at,
            |row, it| { it.player.clicks.filled_at = row.try_get("clicks_filled_at")?; Ok(()) }),
        column!(unseen_energy float8 (click), |it: &Written<'_>| it.record.player.unseen_energy,
            |row, it| { it.player.unseen_energy = amount(row, "unseen_energy")?; Ok(()) }),
        column!(ledger_balance float8, |it: &Written<'_>| it.record.player.ledger_balance,
            |row, it| { it.player.ledger_balance = amount(row, "ledger_balance")?; Ok(()) }),
        column!(away_ended_at timestamptz, |it: &Written<'_>| it.record.player.away.map(|away| away.ended_at),
            |row, it| { it.player.away = row.try_get::<_, Option<Timestamp>>("away_ended_at")?.map(absence); Ok(()) }),
        column!(away_seconds float8, |it: &Written<'_>| it.record.player.away.map(|away| away.seconds),
            |row, it| of_absence(row, "away_seconds", it, |away| &mut away.seconds)),
        column!(away_credited_seconds float8, |it: &Written<'_>| it.record.player.away.map(|away| away.credited_seconds),
            |row, it| of_absence(row, "away_credited_seconds", it, |away| &mut away.credited_seconds)),
        column!(away_energy float8, |it: &Written<'_>| it.record.player.away.map(|away| away.energy),
            |row, it| of_absence(row, "away_energy", it, |away| &mut away.energy)),
        column!(calculated energy_per_second float8, |it: &Written<'_>| it.energy_per_second),
        column!(catalogue_version bigint, |it: &Written<'_>| signed(it.record.catalogue_version),
            |row, it| { it.catalogue_version = row.try_get::<_, i64>("catalogue_version")?.unsigned_abs(); Ok(()) }),
        column!(cores float8, |it: &Written<'_>| it.record.player.cores,
            |row, it| { it.player.cores = amount(row, "cores")?; Ok(()) }),
        column!(omitted inventory jsonb, |it: &Written<'_>| Json(InventoryColumn::from(&it.record.player.inventory)),
            |before: &PlayerRecord, after: &PlayerRecord| before.player.inventory == after.player.inventory,
            |row, it| { it.player.inventory = row.try_get::<_, Json<InventoryColumn>>("inventory")?.0.into(); Ok(()) }),
        column!(omitted display_name text, |it: &Written<'_>| it.record.player.display_name.to_string(),
            |before: &PlayerRecord, after: &PlayerRecord| before.player.display_name == after.player.display_name,
            |row, it| { it.player.display_name = row.try_get::<_, &str>("display_name")?.into(); Ok(()) }),
        column!(season bigint, |it: &Written<'_>| it.record.player.season.number(),
            |row, it| { it.player.season = Season::from_number(row.try_get("season")?); Ok(()) }),
        // Not clamped when it is read: the rules count nothing if it is no amount.
        column!(season_base float8, |it: &Written<'_>| it.record.player.season_base,
            |row, it| { it.player.season_base = row.try_get("season_base")?; Ok(()) }),
    ]
});

/// An amount. The table's check constraint does not cover all columns, so the value is clamped.
fn amount(row: &Row, column: &str) -> Result<f64, Error> {
    Ok(finite(row.try_get(column)?))
}

/// An absence whose other columns are not read yet.
fn absence(ended_at: Timestamp) -> Away {
    Away { seconds: 0.0, credited_seconds: 0.0, energy: 0.0, ended_at }
}

/// Reads an amount of the absence, if there is one.
fn of_absence(
    row: &Row,
    column: &str,
    record: &mut PlayerRecord,
    field: impl FnOnce(&mut Away) -> &mut f64,
) -> Result<(), Error> {
    if let Some(away) = &mut record.player.away {
        *field(away) = amount(row, column)?;
    }
    Ok(())
}

/// Whether a change leaves all columns as they are, except those that a click changes.
pub(super) fn only_clicks_changed(before: &PlayerRecord, after: &PlayerRecord) -> bool {
    COLUMNS.iter().all(|column| column.changes_by_click || (column.is_same)(before, after))
}

/// Reads all columns of a row into a record.
pub(super) fn read(row: &Row, record: &mut PlayerRecord) -> Result<(), Error> {
    COLUMNS.iter().filter_map(|column| column.read).try_for_each(|read| read(row, record))
}

/// The types of [`expand`]'s `{{written_columns}}`.
pub(super) fn types() -> Vec<Type> {
    COLUMNS.iter().map(|column| column.sql_type.1.clone()).collect()
}

/// A statement with the lists of columns in place of their names:
///
/// - `{{player_columns}}`: the columns that make a [`PlayerRecord`],
/// - `{{written_columns}}`: the columns that a commit writes,
/// - `{{written_arrays:N}}`: a parameter for each of those, from `$N` on, as an array of its type,
/// - `{{written_values}}`: their assignments in an `update players as player ... from change`.
pub fn expand(sql: &str) -> String {
    let mut expanded = String::with_capacity(2 * sql.len());
    let mut rest = sql;
    while let Some((before, (name, after))) =
        rest.split_once("{{").and_then(|(before, rest)| Some((before, rest.split_once("}}")?)))
    {
        expanded.push_str(before);
        expanded.push_str(&list(name));
        rest = after;
    }
    expanded + rest
}

fn list(name: &str) -> String {
    let (name, first) = name.split_once(':').unwrap_or((name, "1"));
    let columns = COLUMNS.iter();
    let items: Vec<String> = match name {
        "player_columns" => {
            let read = columns.filter(|column| column.read.is_some()).map(|column| column.name);
            [NEVER_COMMITTED].into_iter().chain(read).map(str::to_owned).collect()
        }
        "written_columns" => columns.map(|column| column.name.to_owned()).collect(),
        "written_arrays" => {
            let first: usize = first.parse().unwrap_or(1);
            columns
                .zip(first..)
                .map(|(it, number)| format!("${number}::{}[]", it.sql_type.0))
                .collect()
        }
        "written_values" => columns.map(assignment).collect(),
        _ => vec![format!("{{{{{name}}}}}")],
    };
    let mut lines = String::new();
    for (position, item) in items.iter().enumerate() {
        let separator = if position == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(lines, "{separator}{item}");
    }
    lines
}

fn assignment(column: &Column) -> String {
    let name = column.name;
    if column.omitted_if_unchanged {
        format!("{name} = coalesce(change.{name}, player.{name})")
    } else {
        format!("{name} = change.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_become_lists() {
        let expanded = expand("select {{player_columns}} from x where {{written_arrays:3}} {{y}}");
        assert!(expanded.starts_with("select player_id, revision, "), "{expanded}");
        assert!(expanded.contains(", season_base from x where $3::bigint[], $4::float8[], "));
        assert!(expanded.ends_with(" {{y}}"), "an unknown name stays, and Postgres refuses it");
        assert!(!expand("{{player_columns}}").contains("accrues_until"), "it is calculated");
        assert!(
            expand("{{written_values}}").contains("cores = change.cores, inventory = coalesce(")
        );
        assert_eq!(types().len(), expand("{{written_columns}}").split(", ").count());
    }
}
