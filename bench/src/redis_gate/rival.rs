//! What the gate is compared with: scripts called once per request, many callers on one connection.
//!
//! The connection is set up as the gate's own: multiplexed, no delay, no timeout of the driver.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, IntoConnectionInfo, Script};

use crate::Failure;

/// Callers that ask at the same time.
const CALLERS: usize = 512;

/// A script and a connection to call it over.
pub(super) struct Rival {
    connection: MultiplexedConnection,
    sha: Arc<str>,
}

impl Rival {
    /// Connects and loads the script.
    pub(super) async fn connect(url: &str, source: &str) -> Result<Self, Failure> {
        let info = url.into_connection_info()?;
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        let client = Client::open(info.set_tcp_settings(tcp))?;
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        let sha = Script::new(source).prepare_invoke().load_async(&mut connection).await?;
        Ok(Self { connection, sha: sha.into() })
    }

    /// Calls the script `count` times, [`CALLERS`] at a time, and tells how many answers are as expected.
    pub(super) async fn call<A: redis::FromRedisValue + Send + 'static>(
        &self,
        count: usize,
        args: impl Fn(usize, &mut Cmd) + Send + Sync + 'static,
        expected: fn(&A) -> bool,
    ) -> Result<usize, Failure> {
        let (next, args) = (Arc::new(AtomicUsize::new(0)), Arc::new(args));
        all((0..CALLERS).map(|_| {
            let (next, args, sha) = (next.clone(), args.clone(), self.sha.clone());
            let mut connection = self.connection.clone();
            async move {
                let mut met = 0;
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return Ok(met);
                    }
                    let mut command = redis::cmd("EVALSHA");
                    command.arg(&*sha);
                    args(n, &mut command);
                    let answer: A = command.query_async(&mut connection).await.map_err(|why| why.to_string())?;
                    met += usize::from(expected(&answer));
                }
            }
        }))
        .await
    }
}

/// Runs tasks side by side and adds up what they count.
pub(super) async fn all<F>(tasks: impl Iterator<Item = F>) -> Result<usize, Failure>
where
    F: Future<Output = Result<usize, String>> + Send + 'static,
{
    let tasks: Vec<_> = tasks.map(tokio::spawn).collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await??;
    }
    Ok(sum)
}
