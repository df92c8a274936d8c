//! Connections that many members share: each call borrows one, so that thousands can wait on some dozens.
//!
//! Owns the borrowing, and when a call was sent and answered. Does not know what an answer means.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::client::{Asked, Call, Client};
use crate::run::Watch;
use crate::{Failure, decided};

/// Connections, in turn to each server.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<Vec<Client>>,
    free: Semaphore,
    watch: Arc<Watch>,
}

/// What became of a call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) asked: Asked,
    pub(crate) body: Vec<u8>,
    pub(crate) sent: Instant,
    pub(crate) answered: Instant,
}

impl Reply {
    /// The status; zero if there was no answer.
    pub(crate) fn status(&self) -> u16 {
        self.asked.answer.map_or(0, |answer| answer.status)
    }

    /// The stable word of a refusal; empty if it has none.
    pub(crate) fn code(&self) -> String {
        #[derive(Deserialize)]
        struct Coded {
            code: String,
        }
        serde_json::from_slice(&self.body).map(|Coded { code }| code).unwrap_or_default()
    }

    /// The body, read as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body)
            .map_err(|e| Failure::Server(format!("{e} in {}", String::from_utf8_lossy(&self.body))))
    }

    /// Status and code, for people.
    pub(crate) fn shown(&self) -> String {
        format!("{} {}", self.status(), self.code()).trim_end().to_owned()
    }
}

impl Pool {
    /// `at_a_time` connections, opened before the load starts, in turn to each of these servers.
    pub(crate) async fn gather(to: &[SocketAddr], at_a_time: usize, watch: Arc<Watch>) -> Arc<Self> {
        let mut idle: Vec<Client> = to.iter().cycle().take(at_a_time).map(|to| Client::new(*to)).collect();
        for client in &mut idle {
            // A connection that cannot be made now is made, or counted as broken, by its first call.
            let _ = client.connect().await;
        }
        Arc::new(Self { idle: Mutex::new(idle), free: Semaphore::new(at_a_time), watch })
    }

    /// Sends a call on the connection that is idle longest, and waits until it is decided.
    pub(crate) async fn ask(&self, call: &Call) -> Reply {
        let turn = self.free.acquire().await.expect("it is never closed");
        let mut client = self.idle().remove(0);
        let sent = Instant::now();
        let asked = decided::ask(&mut client, call).await;
        let (answered, body) = (Instant::now(), client.body().to_vec());
        self.watch.count();
        self.idle().push(client);
        drop(turn);
        Reply { asked, body, sent, answered }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Client>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::path;
    use crate::fake;

    #[tokio::test]
    async fn many_members_share_few_connections() {
        let server = fake::serve(|n, _| (403, format!(r#"{{"code":"no{n}"}}"#))).await;
        let pool = Pool::gather(&[server], 2, Watch::silent()).await;
        let calls = (0..50).map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { pool.ask(&Call::get(path("/"))).await })
        });
        let mut codes = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            let reply = call.await.unwrap();
            assert!(reply.status() == 403 && reply.sent <= reply.answered);
            codes.push(reply.code());
        }
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), 50);
        assert_eq!(pool.idle().len(), 2);
    }
}
