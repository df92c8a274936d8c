//! [`NoticeLedger`] in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

use super::MemoryLedger;
use crate::error::BackendError;
use crate::notice::{Notice, NoticeKey, NoticeLedger, Settled, Taken};
use crate::time::Timestamp;

/// The notices that wait, by key.
pub(super) type NoticeRows = BTreeMap<NoticeKey, NoticeRow>;

#[derive(Debug, Clone)]
pub(super) struct NoticeRow {
    notice: Notice,
    tries: u32,
    due_at: Timestamp,
}

impl MemoryLedger {
    /// The notices that are not handed over yet: for audits of tests.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.tables().notices.values().map(|row| row.notice.clone()).collect()
    }
}

#[async_trait]
impl NoticeLedger for MemoryLedger {
    async fn keep(&self, notices: &[Notice]) -> Result<(), BackendError> {
        let (rows, due_at) = (&mut self.tables().notices, self.now());
        for notice in notices {
            let new = || NoticeRow { notice: notice.clone(), tries: 0, due_at };
            rows.entry(notice.key.clone()).or_insert_with(new);
        }
        Ok(())
    }

    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<Taken>, BackendError> {
        let (rows, now) = (&mut self.tables().notices, self.now());
        let mut due: Vec<&mut NoticeRow> = rows.values_mut().filter(|row| row.due_at <= now).collect();
        due.sort_by_key(|row| row.due_at);
        let take = |row: &mut NoticeRow| {
            row.tries += 1;
            row.due_at = now.after(lease);
            Taken { notice: row.notice.clone(), tries: row.tries }
        };
        Ok(due.into_iter().take(limit).map(take).collect())
    }

    async fn settle(&self, batch: &[(NoticeKey, Settled)]) -> Result<(), BackendError> {
        let rows = &mut self.tables().notices;
        for (key, settled) in batch {
            match settled {
                Settled::Gone => drop(rows.remove(key)),
                Settled::Later(at) => {
                    if let Some(row) = rows.get_mut(key) {
                        row.due_at = *at;
                    }
                }
            }
        }
        Ok(())
    }
}
