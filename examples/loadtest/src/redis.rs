//! Redis for a run: one of its own, in a directory of its own and on a free port, or one that runs already.
//!
//! Owns starting and killing it, and what a server is told of it. Says nothing to it.

use std::sync::Arc;

use flashsale_services::{Append, Redis, RedisOptions, StartError};

use crate::Failure;

/// Where the gate of a run is kept.
#[derive(Debug, Clone)]
pub(crate) enum Gate {
    /// In the memory of the one server.
    Memory,
    /// On a Redis of this run's own. It is killed when the last clone is dropped.
    Own(Arc<Redis>),
    /// On one that runs already, under keys that no other run has.
    Given {
        /// Where it is, with its password.
        url: String,
        /// How the keys begin.
        prefix: String,
    },
}

impl Gate {
    /// Starts a Redis that appends once a second, as most are set up: what it reads after a kill is a second old.
    ///
    /// # Errors
    /// [`Failure::Start`] if it is not installed, with the command that installs it, or does not start.
    pub(crate) async fn own() -> Result<Self, Failure> {
        let options = RedisOptions { append: Append::EverySecond, ..RedisOptions::default() };
        Ok(Self::Own(Arc::new(aside(move || Redis::try_start(options)).await?)))
    }

    /// Takes a Redis that runs. What the run leaves there begins with `fs-load-`.
    pub(crate) fn given(url: String) -> Self {
        let prefix = format!("fs-load-{:x}", std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis());
        Self::Given { url, prefix }
    }

    /// What a server is told, as variables of its environment: no list of processes shows a password.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Memory => Vec::new(),
            Self::Own(redis) => vec![("FLASHSALE_REDIS__URL", redis.url())],
            Self::Given { url, prefix } => {
                vec![("FLASHSALE_REDIS__URL", url.clone()), ("FLASHSALE_REDIS__PREFIX", prefix.clone())]
            }
        }
    }

    /// Kills a Redis of our own as a crash would, and starts it again on the same port and files.
    ///
    /// # Errors
    /// [`Failure::Start`] if it does not come back; [`Failure::Usage`] for one that is not our own.
    pub(crate) async fn kill_and_restart(&self) -> Result<(), Failure> {
        let Self::Own(redis) = self else {
            return Err(Failure::Usage("only a Redis of the run's own is killed".into()));
        };
        let redis = redis.clone();
        aside(move || {
            redis.kill9();
            redis.try_restart()
        })
        .await
    }
}

/// Runs what waits for a process beside the load.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StartError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => Ok(done?),
        Err(lost) => Err(std::io::Error::other(lost).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_redis_of_our_own_comes_back_on_its_port_and_goes_with_the_run() {
        let gate = Gate::own().await.unwrap();
        let variables = gate.variables();
        let Gate::Own(redis) = &gate else { panic!("{gate:?}") };
        let before = redis.process_id();
        gate.kill_and_restart().await.unwrap();
        assert_ne!(redis.process_id(), before);
        assert!(redis.is_answering());
        assert_eq!(gate.variables(), variables);
        let folder = redis.dir().to_owned();
        drop(gate);
        assert!(!folder.exists());
    }

    #[tokio::test]
    async fn a_redis_of_somebody_else_is_not_killed() {
        let gate = Gate::given("redis://127.0.0.1:1".into());
        assert!(matches!(gate.kill_and_restart().await, Err(Failure::Usage(_))));
        assert!(gate.variables()[1].1.starts_with("fs-load-"), "its keys meet no other's");
    }
}
