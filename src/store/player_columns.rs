//! The columns of a player's row. Statements, their parameters and the decoding of rows are all derived from one list.
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
use crate::domain::{Away, Language, Season, Timestamp, finite};

/// The value of a statement's parameter.
pub(super) type Parameter<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// Reads one column of a row into a record.
type Read = fn(&Row, &mut PlayerRecord) -> Result<(), Error>;

/// Columns that a commit does not write: they are set when the player is created, or by other statements.
const NEVER_COMMITTED: &str = "player_id, revision, username, created_at, banned_at";

/// A column that a commit writes.
pub(super) struct Column {
    name: &'static str,
    /// The type: its name in SQL, and its identifier for binary `copy`.
    sql_type: (&'static str, Type),
    /// Whether clicks and presence change the column. The statements `commit_click.sql` and `commit_clicks.sql` list
    /// these columns themselves.
    changes_by_click: bool,
    /// Whether the parameter is null if the value has not changed, which saves sending a large value.
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

/// Defines a column: its name and type, the expression for its value, and how the value is read into a record.
///
/// - `(click)` after the type: clicks and presence change the column.
/// - `calculated`: the column is calculated from others, so it is not compared and not read.
/// - `omitted`: the value is sent only if `is_same` is false.
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

/// All columns that a commit writes. They are read in this order. `away_ended_at` precedes the other columns of an
/// absence, because reading it creates the absence that they complete.
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
        column!(away_credited_seconds float8,
            |it: &Written<'_>| it.record.player.away.map(|away| away.credited_seconds),
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
        // Not clamped when it is read: if it is not a valid amount, the score of the season must be 0.
        column!(season_base float8, |it: &Written<'_>| it.record.player.season_base,
            |row, it| { it.player.season_base = row.try_get("season_base")?; Ok(()) }),
        // A language that this release does not know counts as none, and stays in the row until another one is chosen.
        column!(omitted language text, |it: &Written<'_>| it.record.player.language.map(Language::as_str),
            |before: &PlayerRecord, after: &PlayerRecord| before.player.language == after.player.language,
            |row, it| { it.player.language = row.try_get::<_, Option<&str>>("language")?.and_then(Language::from_code); Ok(()) }),
    ]
});

/// Reads an amount and clamps it, because the table's check constraint does not cover all columns.
fn amount(row: &Row, column: &str) -> Result<f64, Error> {
    Ok(finite(row.try_get(column)?))
}

/// An absence of which only the end has been read.
fn absence(ended_at: Timestamp) -> Away {
    Away { seconds: 0.0, credited_seconds: 0.0, energy: 0.0, ended_at }
}

/// Reads an amount of the absence, if the row contains an absence.
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

/// Whether two rows differ at most in the columns that clicks and presence change.
pub(super) fn only_clicks_changed(before: &PlayerRecord, after: &PlayerRecord) -> bool {
    COLUMNS.iter().all(|column| column.changes_by_click || (column.is_same)(before, after))
}

/// Reads all columns of a row into a record.
pub(super) fn read(row: &Row, record: &mut PlayerRecord) -> Result<(), Error> {
    COLUMNS.iter().filter_map(|column| column.read).try_for_each(|read| read(row, record))
}

/// The types of the columns that [`expand`] inserts for `{{written_columns}}`.
pub(super) fn types() -> Vec<Type> {
    COLUMNS.iter().map(|column| column.sql_type.1.clone()).collect()
}

/// Replaces the placeholders of a statement by lists of columns:
///
/// - `{{player_columns}}`: the columns from which a [`PlayerRecord`] is read,
/// - `{{written_columns}}`: the columns that a commit writes,
/// - `{{written_arrays:N}}`: for each written column, a parameter that is an array of its type, numbered from `$N` on,
/// - `{{written_values}}`: the assignments of the written columns in an `update players as player ... from change`.
///
/// Unknown placeholders are not replaced.
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
        // Writing to a string cannot fail.
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
    fn placeholders_are_replaced_by_lists_of_columns() {
        let expanded = expand("select {{player_columns}} from x where {{written_arrays:3}} {{y}}");
        assert!(expanded.starts_with("select player_id, revision, "), "{expanded}");
        assert!(
            expanded.contains(", season_base, language from x where $3::bigint[], $4::float8[], ")
        );
        assert!(expanded.ends_with(" {{y}}"), "an unknown placeholder is not replaced");
        assert!(
            !expand("{{player_columns}}").contains("accrues_until"),
            "a calculated column is not read"
        );
        assert!(
            expand("{{written_values}}").contains("cores = change.cores, inventory = coalesce(")
        );
        assert_eq!(types().len(), expand("{{written_columns}}").split(", ").count());
    }
}
