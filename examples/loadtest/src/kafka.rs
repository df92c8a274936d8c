//! Kafka for a run: one of its own, in a directory of its own and on a free port.
//!
//! Owns starting and killing it, and what a server is told of it. Says nothing to it.

use std::sync::Arc;

use flashsale_services::{Kafka, KafkaOptions};

use crate::Failure;
use crate::redis::aside;

/// Where the events of a run travel.
#[derive(Debug, Clone)]
pub(crate) enum Bus {
    /// Within each server.
    Process,
    /// Over a broker of this run's own. It is killed when the last clone is dropped.
    Own(Arc<Kafka>),
}

impl Bus {
    /// Starts a broker.
    ///
    /// # Errors
    /// [`Failure::Start`] if it is not installed, with the command that installs it, or does not start.
    pub(crate) async fn own() -> Result<Self, Failure> {
        // A broker that was killed registers again only when its own last session is over: 9 s, unless told otherwise.
        let session = [("broker.session.timeout.ms", "3000"), ("broker.heartbeat.interval.ms", "500")];
        let extra = session.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let options = KafkaOptions { extra, ..KafkaOptions::default() };
        Ok(Self::Own(Arc::new(aside(move || Kafka::try_start(&options)).await?)))
    }

    /// What a server is told, as variables of its environment.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Process => Vec::new(),
            Self::Own(kafka) => vec![
                ("FLASHSALE_KAFKA__BROKERS", kafka.brokers()),
                ("FLASHSALE_KAFKA__PARTITIONS", "4".to_owned()),
                ("FLASHSALE_KAFKA__REPLICATION", "1".to_owned()),
            ],
        }
    }

    /// Kills the broker as a crash would, and starts it again on the same port and files.
    ///
    /// # Errors
    /// [`Failure::Start`] if it does not come back; [`Failure::Usage`] if there is none.
    pub(crate) async fn kill_and_restart(&self) -> Result<(), Failure> {
        let Self::Own(kafka) = self else {
            return Err(Failure::Usage("only a Kafka of the run's own is killed".into()));
        };
        let kafka = kafka.clone();
        aside(move || {
            kafka.kill9(0);
            kafka.try_restart(0)
        })
        .await
    }
}
