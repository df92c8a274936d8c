//! What an error of librdkafka means for whoever called a port.

use flashsale_core::error::{BackendError, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// What an error code means.
fn kind(code: Code) -> ErrorKind {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessage | Code::InvalidMessageSize | Code::InvalidRecord => {
            ErrorKind::Data
        }
        Code::UnknownTopic
        | Code::UnknownPartition
        | Code::UnknownTopicOrPartition
        | Code::InvalidTopic
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::SSL
        | Code::UnsupportedFeature
        | Code::UnsupportedVersion
        | Code::InvalidReplicationFactor
        | Code::PolicyViolation => ErrorKind::Misconfigured,
        // Never left the queue: nobody has it.
        Code::QueueFull | Code::PurgeQueue => ErrorKind::Unavailable,
        // Sent, or about to be, and nobody said what became of it.
        _ => ErrorKind::Unknown,
    }
}

/// Whether the brokers will say no again: the data is bad, or a person has to act.
pub(crate) fn is_refused(error: &KafkaError) -> bool {
    let refused = |code| matches!(kind(code), ErrorKind::Data | ErrorKind::Misconfigured);
    error.rdkafka_error_code().is_some_and(refused)
}

/// An event that was not acknowledged.
pub(crate) fn undelivered(operation: &'static str, error: KafkaError) -> BackendError {
    let kind = match &error {
        KafkaError::MessageProduction(code) => kind(*code),
        _ => ErrorKind::Unknown,
    };
    BackendError::new(kind, operation, error)
}

/// Something that moves no event: nothing happened.
pub(crate) fn undone(operation: &'static str, error: KafkaError) -> BackendError {
    let kind = match &error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Subscription(_) => {
            ErrorKind::Misconfigured
        }
        other => match other.rdkafka_error_code().map(kind) {
            Some(ErrorKind::Misconfigured) => ErrorKind::Misconfigured,
            _ => ErrorKind::Unavailable,
        },
    };
    BackendError::new(kind, operation, error)
}

/// Whether a consumer can go on as it is: the client connects again, joins again and asks again by itself.
pub(crate) fn passes(error: &KafkaError) -> bool {
    let (KafkaError::MessageConsumption(code) | KafkaError::Global(code)) = error else {
        return matches!(error, KafkaError::PartitionEOF(_));
    };
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::BrokerNotAvailable
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::RequestTimedOut
            | Code::TimedOutQueue
            | Code::WaitingForCoordinator
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotLeaderForPartition
            | Code::LeaderNotAvailable
            | Code::NetworkException
            | Code::RebalanceInProgress
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::PollExceeded
            // A new topic is not known everywhere at once, and a missing one may be made any time.
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopic
    )
}

/// Whether a partition is not this client's any more.
pub(crate) fn is_elsewhere(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::State | Code::UnknownPartition | Code::PreviousInProgress | Code::UnknownTopicOrPartition)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_unknown_and_a_full_queue_is_not() {
        let of = |code| undelivered("sink.publish", KafkaError::MessageProduction(code)).kind();
        assert_eq!(of(Code::MessageTimedOut), ErrorKind::Unknown);
        assert_eq!(of(Code::QueueFull), ErrorKind::Unavailable);
        assert_eq!(of(Code::MessageSizeTooLarge), ErrorKind::Data);
        assert_eq!(of(Code::UnknownTopicOrPartition), ErrorKind::Misconfigured);
        let lost = KafkaError::MessageConsumption(Code::BrokerTransportFailure);
        assert!(passes(&lost));
        assert_eq!(undone("source.poll", lost).kind(), ErrorKind::Unavailable);
        assert!(!passes(&KafkaError::MessageConsumption(Code::GroupAuthorizationFailed)));
        assert!(!passes(&KafkaError::MessageConsumptionFatal(Code::FencedInstanceId)));
        assert!(passes(&KafkaError::MessageConsumption(Code::UnknownTopicOrPartition)), "it may be there soon");
        assert!(
            !passes(&KafkaError::MessageConsumption(Code::NotImplemented)),
            "a compression that this client cannot read"
        );
    }
}
