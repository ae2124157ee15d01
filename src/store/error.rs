//! Errors of Postgres and of the connection to it, classified by how callers react to them.

use tokio_postgres::error::SqlState;

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Postgres cannot be reached, refuses connections temporarily, or did not answer in time. If a write was sent, it
    /// is not known whether it was executed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Postgres rolled the transaction back because of a conflict with another one. It can be tried again.
    #[error("the transaction conflicted with another one and was rolled back: {0}")]
    Contention(String),
    /// Another transaction kept a row locked for too long. Nothing was written.
    #[error("a row is locked: {0}")]
    Locked(String),
    /// Postgres ended a statement that took too long. It was rolled back.
    #[error("the statement took too long: {0}")]
    OutOfTime(String),
    /// A named constraint rejected a row.
    #[error("constraint {0} rejects the row")]
    Constraint(String),
    /// A row contains data that the code cannot interpret.
    #[error("a row contains unexpected data: {0}")]
    Corrupt(String),
    /// The database does not meet a requirement of the server. An operator has to fix it.
    #[error("{0}")]
    Unfit(String),
    /// Any other error of a statement.
    #[error("the statement failed: {0}")]
    Statement(String),
}

impl Error {
    /// Whether the error is transient: a later attempt may succeed.
    pub fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Unavailable(_) | Self::Contention(_) | Self::Locked(_) | Self::OutOfTime(_)
        )
    }

    /// Whether the named constraint rejected the row.
    pub fn is_constraint(&self, name: &str) -> bool {
        matches!(self, Self::Constraint(constraint) if constraint == name)
    }
}

/// SQLSTATE classes of transient errors: connection, insufficient resources, operator intervention, system.
const TRANSIENT_CLASSES: [&str; 4] = ["08", "53", "57", "58"];

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(cause) = error.as_db_error() else {
            return if error.to_string().contains("deserializing column") {
                Self::Corrupt(with_cause(&error))
            } else {
                Self::Unavailable(with_cause(&error))
            };
        };
        let code = cause.code();
        let message = format!("{} ({})", cause.message(), code.code());
        if let Some(constraint) = cause.constraint() {
            return Self::Constraint(constraint.to_owned());
        }
        if [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED].contains(code) {
            return Self::Contention(message);
        }
        if *code == SqlState::LOCK_NOT_AVAILABLE {
            return Self::Locked(message);
        }
        if *code == SqlState::QUERY_CANCELED {
            return Self::OutOfTime(message);
        }
        let transient = TRANSIENT_CLASSES.iter().any(|class| code.code().starts_with(class))
            || [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT]
                .contains(code);
        if transient { Self::Unavailable(message) } else { Self::Statement(message) }
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => Self::Unavailable(with_cause(&error)),
            other => Self::Unavailable(with_cause(&other)),
        }
    }
}

/// The error and its causes, in one line.
pub fn with_cause(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        line.push_str(": ");
        line.push_str(&inner.to_string());
        cause = inner.source();
    }
    line
}
