//! What the databases' errors mean: what happened, and whether the whole transaction is worth another try.
//!
//! The numbers are in the file of each database.

use flashsale_core::error::ErrorKind;

/// What an error of a database means, told outside COMMIT: the transaction was or will be rolled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Somebody else was in the way: deadlock, serialization, lock timeout, busy.
    Busy,
    /// A key is there that was not there a moment ago: somebody else wrote it meanwhile, and the next try reads it. If that
    /// does not help, the data is bad.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        allow(dead_code, reason = "SQLite writes one transaction at a time")
    )]
    Twice,
    /// The connection is gone, and the transaction with it.
    Lost,
    /// The database cannot do it now.
    Unavailable,
    /// These values cannot be written.
    Data,
    /// Rights, tables or settings are not as needed.
    Misconfigured,
    /// What is stored is damaged.
    Corrupt,
}

/// What an error means.
pub(crate) fn meaning(error: &sqlx::Error) -> Meaning {
    if let Some(error) = error.as_database_error() {
        #[cfg(feature = "sqlite")]
        if let Some(error) = error.try_downcast_ref::<sqlx::sqlite::SqliteError>() {
            return crate::sqlite::meaning(error);
        }
        #[cfg(feature = "postgres")]
        if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
            return crate::postgres::meaning(error);
        }
        #[cfg(feature = "mysql")]
        if let Some(error) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
            return crate::mysql::meaning(error);
        }
        let _ = error;
        return Meaning::Unavailable;
    }
    match error {
        sqlx::Error::Configuration(_) => Meaning::Misconfigured,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
            Meaning::Corrupt
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::BeginFailed => Meaning::Lost,
        // A pool that is exhausted or closed, and what is not of the database at all.
        _ => Meaning::Unavailable,
    }
}

/// What an error outside COMMIT tells the caller. Nothing happened.
pub(crate) fn kind(error: &sqlx::Error) -> ErrorKind {
    match meaning(error) {
        Meaning::Busy | Meaning::Lost | Meaning::Unavailable => ErrorKind::Unavailable,
        Meaning::Twice | Meaning::Data => ErrorKind::Data,
        Meaning::Misconfigured => ErrorKind::Misconfigured,
        Meaning::Corrupt => ErrorKind::Corrupt,
    }
}
