//! `NoticeLedger` on SQL: what members are not told yet. Rows are few: they go when their notices do.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flashsale_core::error::BackendError;
use flashsale_core::notice::{Notice, NoticeKey, NoticeLedger, Settled, Taken};

use crate::ledger::{Backend, SqlLedger};
use crate::order::most;
use crate::tx::{End, Fault, Row, Tx, json};
use crate::value::{Rows, Value};

const KEEP: &str = "INSERT INTO notice (id, body, tries, due_at) SELECT r.id, r.body, 0, r.due_at \
                    FROM {rows id:text body:text due_at:int} r{once-notice}";
const DUE: &str = "SELECT body, tries FROM notice WHERE due_at <= ? ORDER BY due_at LIMIT ?{lock}";
const LATER: &str = "UPDATE notice SET due_at = r.due_at FROM {rows id:text due_at:int} r WHERE notice.id = r.id";

async fn keep(mut tx: Tx<'_>, notices: Arc<[Notice]>) -> Result<End<()>, Fault> {
    let (now, mut seen, mut rows) = (tx.now(), HashSet::new(), Vec::with_capacity(notices.len()));
    for notice in notices.iter().filter(|notice| seen.insert(&notice.key)) {
        rows.push([notice.key.as_str().into(), json(notice)?, now.into()]);
    }
    tx.bulk(KEEP, &[], Rows(rows), &[]);
    Ok(End::Commit(()))
}

async fn take(mut tx: Tx<'_>, limit: Value, lease: Duration) -> Result<End<Vec<Taken>>, Fault> {
    let rows = tx.rows(DUE, vec![tx.now().into(), limit]).await?;
    let one = |row: &Row| {
        let mut row = row.fields();
        Ok(Taken { notice: row.json()?, tries: row.number::<u32>()?.saturating_add(1) })
    };
    let taken = rows.iter().map(one).collect::<Result<Vec<Taken>, Fault>>()?;
    if taken.is_empty() {
        return Ok(End::Nothing(taken));
    }
    let keys = Value::list(taken.iter().map(|taken| taken.notice.key.as_str()));
    let until = tx.now().after(lease);
    tx.write("UPDATE notice SET tries = tries + 1, due_at = ? WHERE id {in}", vec![until.into(), keys]);
    Ok(End::Commit(taken))
}

async fn settle(mut tx: Tx<'_>, batch: Arc<[(NoticeKey, Settled)]>) -> Result<End<()>, Fault> {
    let (mut gone, mut later) = (Vec::new(), Rows::default());
    for (key, settled) in &*batch {
        match settled {
            Settled::Gone => gone.push(key.as_str()),
            Settled::Later(at) => later.0.push([Value::from(key.as_str()), (*at).into()]),
        }
    }
    if !gone.is_empty() {
        tx.write("DELETE FROM notice WHERE id {in}", vec![Value::list(gone)]);
    }
    tx.bulk(LATER, &[], later, &[]);
    Ok(End::Commit(()))
}

#[async_trait]
impl<D: Backend> NoticeLedger for SqlLedger<D> {
    async fn keep(&self, notices: &[Notice]) -> Result<(), BackendError> {
        let notices: Arc<[Notice]> = notices.into();
        self.write("to_tell.keep", move |tx| Box::pin(keep(tx, notices.clone()))).await
    }

    async fn take(&self, limit: usize, lease: Duration) -> Result<Vec<Taken>, BackendError> {
        self.write("to_tell.take", move |tx| Box::pin(take(tx, most(limit), lease))).await
    }

    async fn settle(&self, batch: &[(NoticeKey, Settled)]) -> Result<(), BackendError> {
        let batch: Arc<[(NoticeKey, Settled)]> = batch.into();
        self.write("to_tell.settle", move |tx| Box::pin(settle(tx, batch.clone()))).await
    }
}
