//! What Kafka's answers mean for a record. Pure.
//!
//! In: the error code of a record, or the code behind a producer's fatal error. Out: whether to wait or to stop. Every
//! code of librdkafka stands here by its name, whether a producer can get it or not, and a test compares the list with
//! librdkafka. A code that is not in the list, because a newer librdkafka has it, stops the reader: nobody has said
//! that waiting is right. Neither answer skips a record, because what was not acknowledged is published again.
//!
//! The rule: what Kafka's own producer calls retriable waits, and so does what a new producer mends. Everything else
//! stops the reader, as it stops Kafka Connect's task.

use rdkafka::error::RDKafkaErrorCode as Code;

/// What follows from a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It may go by itself. The next session publishes the record again, with a new producer.
    Wait,
    /// Only another record of the same batch, or an earlier one of the partition, is to blame.
    OfAnother,
    /// The reader itself causes it, when it ends a producer.
    OfOurOwn,
    /// Waiting does not help. The text says what to change.
    Stop(&'static str),
}

const TOO_LARGE: &str = "the event, or the batch it is in, is larger than the limits: raise producer.override.max.request.size and the topic's \
     max.message.bytes, both, to the event's size; where single events are smaller than max.message.bytes, lower \
     producer.override.batch.size below it";

const COMPACTED: &str = "the broker calls a record invalid: a compacted topic takes none without a key, such as a truncate or any event of a table \
     without a key; set cleanup.policy=delete on the topic, or leave such events out with skipped.operations or \
     table.exclude.list";

const NOT_ALLOWED: &str =
    "not allowed to write to it: the reader's Kafka user needs the right to write to the topic";

const NO_IDEMPOTENCE: &str = "the reader's Kafka user may not use an idempotent producer: give that user the right IdempotentWrite on the cluster";

const NO_LOGIN: &str = "Kafka does not let the reader in: check security.protocol, the certificates and the login among producer.override.*";

const OLD_BROKER: &str =
    "the broker does not know what an idempotent producer needs: it has to be Kafka 0.11 or later";

const FOREIGN: &str = "the broker gave an answer that does not belong to a producer's request, so the reader cannot tell what became of the event";

const UNEXPECTED: &str = "the broker failed and does not say why: read the broker's log";

/// What follows from the code of a record.
pub(super) fn of_record(code: Code) -> Answer {
    by_client(code).or_else(|| by_broker(code)).unwrap_or(Answer::Stop(FOREIGN))
}

/// Codes that librdkafka makes itself.
fn by_client(code: Code) -> Option<Answer> {
    let answer = match code {
        // The connection, the broker or its machine is away, or slow.
        Code::BrokerTransportFailure
        | Code::AllBrokersDown
        | Code::Resolve
        | Code::BrokerDestroy
        | Code::DestroyBroker
        | Code::NodeUpdate
        | Code::UnknownBroker
        | Code::MessageTimedOut
        | Code::OperationTimedOut
        | Code::TimedOutQueue
        | Code::WaitCache
        | Code::WaitingForCoordinator
        | Code::InProgress
        | Code::PreviousInProgress
        | Code::Interrupted
        | Code::Retry
        | Code::Partial
        | Code::Outdated => Answer::Wait,
        // Too few replicas, by the old way to say it.
        Code::ISRInsufficient => Answer::Wait,
        // The topic, or the partition, was deleted. The next session makes the topic again.
        Code::UnknownTopic | Code::UnknownPartition => Answer::Wait,
        // The producer is in a state in which it sends no more; a new one begins anew.
        Code::State | Code::Conflict | Code::Inconsistent | Code::Fenced => Answer::Wait,
        // An answer that was damaged on its way.
        Code::BadMessage | Code::BadCompression | Code::Underflow => Answer::Wait,
        // Memory or threads are short.
        Code::CriticalSystemResource | Code::QueueFull => Answer::Wait,
        // The producer has ended. Why it has is its fatal error, which is judged by its own code, or the answer to the
        // batch that was refused.
        Code::InvalidDifferentRecord | Code::Fatal | Code::GaplessGuarantee => Answer::OfAnother,
        Code::PurgeQueue | Code::PurgeInflight => Answer::OfOurOwn,
        Code::SSL | Code::Authentication => Answer::Stop(NO_LOGIN),
        Code::UnsupportedFeature | Code::UnknownProtocol => Answer::Stop(OLD_BROKER),
        // The reader, or librdkafka, uses the producer wrongly.
        Code::InvalidArgument
        | Code::InvalidType
        | Code::NotImplemented
        | Code::NotConfigured
        | Code::ReadOnly
        | Code::Application
        | Code::Fail
        | Code::FileSystem
        | Code::KeySerialization
        | Code::ValueSerialization => {
            Answer::Stop("librdkafka refuses to send the event, which is a fault of the reader")
        }
        // Of consumers only.
        Code::Begin
        | Code::End
        | Code::EndAll
        | Code::PartitionEOF
        | Code::UnknownGroup
        | Code::ExistingSubscription
        | Code::AssignPartitions
        | Code::RevokePartitions
        | Code::NoOffset
        | Code::KeyDeserialization
        | Code::ValueDeserialization
        | Code::NoEnt
        | Code::PollExceeded
        | Code::AssignmentLost
        | Code::Noop
        | Code::AutoOffsetReset
        | Code::LogTruncation => Answer::Stop(FOREIGN),
        _ => return None,
    };
    Some(answer)
}

/// Codes that a broker sends.
fn by_broker(code: Code) -> Option<Answer> {
    let answer = match code {
        // The partition, its leader or the controller moves or is away, or the broker is overloaded.
        Code::UnknownTopicOrPartition
        | Code::UnknownTopicId
        | Code::LeaderNotAvailable
        | Code::NotLeaderForPartition
        | Code::RequestTimedOut
        | Code::BrokerNotAvailable
        | Code::ReplicaNotAvailable
        | Code::StaleControllerEpoch
        | Code::NetworkException
        | Code::CoordinatorLoadInProgress
        | Code::CoordinatorNotAvailable
        | Code::NotCoordinator
        | Code::NotController
        | Code::KafkaStorageError
        | Code::ReassignmentInProgress
        | Code::ListenerNotFound
        | Code::FencedLeaderEpoch
        | Code::UnknownLeaderEpoch
        | Code::StaleBrokerEpoch
        | Code::OffsetNotAvailable
        | Code::PreferredLeaderNotAvailable
        | Code::EligibleLeadersNotAvailable
        | Code::ThrottlingQuotaExceeded
        | Code::RebootstrapRequired => Answer::Wait,
        // Replicas are missing. They come back.
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => Answer::Wait,
        // The batch was damaged on its way: its check sum was wrong.
        Code::InvalidMessage => Answer::Wait,
        // The broker and the producer disagree about what was sent. A new producer begins with numbers of its own, at
        // the last confirmed position.
        Code::OutOfOrderSequenceNumber
        | Code::DuplicateSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced
        | Code::ConcurrentTransactions => Answer::Wait,
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            Answer::Stop(TOO_LARGE)
        }
        Code::InvalidRecord => Answer::Stop(COMPACTED),
        Code::InvalidTopic => Answer::Stop("the topic's name is not valid"),
        Code::InvalidTimestamp => Answer::Stop(
            "the broker refuses the time of the event: raise the topic's message.timestamp.before.max.ms and \
             message.timestamp.after.max.ms, or set the clocks right",
        ),
        Code::TopicAuthorizationFailed => Answer::Stop(NOT_ALLOWED),
        Code::ClusterAuthorizationFailed | Code::TransactionalIdAuthorizationFailed => {
            Answer::Stop(NO_IDEMPOTENCE)
        }
        Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SaslAuthenticationFailed
        | Code::SecurityDisabled
        | Code::PrincipalDeserializationFailure => Answer::Stop(NO_LOGIN),
        Code::UnsupportedVersion | Code::UnsupportedForMessageFormat => Answer::Stop(OLD_BROKER),
        Code::UnsupportedCompressionType => Answer::Stop(
            "the broker does not know the compression: set another producer.override.compression.type",
        ),
        Code::PolicyViolation => Answer::Stop("a policy of the cluster forbids the event"),
        Code::Unknown => Answer::Stop(UNEXPECTED),
        Code::InvalidRequiredAcks | Code::InvalidRequest | Code::InvalidTransactionalState => {
            Answer::Stop("the broker calls the request invalid, which is a fault of the reader")
        }
        _ => return of_other_requests(code),
    };
    Some(answer)
}

/// Codes with which a broker answers consumers and administrators only.
fn of_other_requests(code: Code) -> Option<Answer> {
    match code {
        Code::NoError
        | Code::OffsetOutOfRange
        | Code::OffsetMetadataTooLarge
        | Code::IllegalGeneration
        | Code::InconsistentGroupProtocol
        | Code::InvalidGroupId
        | Code::UnknownMemberId
        | Code::InvalidSessionTimeout
        | Code::RebalanceInProgress
        | Code::InvalidCommitOffsetSize
        | Code::GroupAuthorizationFailed
        | Code::TopicAlreadyExists
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::InvalidReplicaAssignment
        | Code::InvalidConfig
        | Code::InvalidTransactionTimeout
        | Code::TransactionCoordinatorFenced
        | Code::OperationNotAttempted
        | Code::LogDirNotFound
        | Code::DelegationTokenAuthDisabled
        | Code::DelegationTokenNotFound
        | Code::DelegationTokenOwnerMismatch
        | Code::DelegationTokenRequestNotAllowed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::InvalidPrincipalType
        | Code::NonEmptyGroup
        | Code::GroupIdNotFound
        | Code::FetchSessionIdNotFound
        | Code::InvalidFetchSessionEpoch
        | Code::TopicDeletionDisabled
        | Code::MemberIdRequired
        | Code::GroupMaxSizeReached
        | Code::FencedInstanceId
        | Code::ElectionNotNeeded
        | Code::NoReassignmentInProgress
        | Code::GroupSubscribedToTopic
        | Code::UnstableOffsetCommit
        | Code::ResourceNotFound
        | Code::DuplicateResource
        | Code::UnacceptableCredential
        | Code::InconsistentVoterSet
        | Code::InvalidUpdateVersion
        | Code::FeatureUpdateFailed
        | Code::FencedMemberEpoch
        | Code::UnreleasedInstanceId
        | Code::UnsupportedAssignor
        | Code::StaleMemberEpoch
        | Code::UnknownSubscriptionId
        | Code::TelemetryTooLarge => Some(Answer::Stop(FOREIGN)),
        _ => None,
    }
}

/// Why waiting does not help with a topic that was not created. `None` where waiting may help: with too few brokers for
/// the replicas, because some may not have started yet, and with everything that waits for records too.
pub(super) fn of_new_topic(code: Code) -> Option<&'static str> {
    match code {
        Code::InvalidReplicationFactor => None,
        Code::InvalidConfig => {
            Some("the broker does not take a setting of topic.creation.default.*")
        }
        Code::InvalidPartitions => Some("topic.creation.default.partitions is out of range"),
        Code::InvalidTopic => Some(
            "its name is too long, or is the name of another topic with a dot for an underscore: set another topic.prefix, or leave the \
                 table out with table.exclude.list",
        ),
        Code::PolicyViolation => Some("the cluster's policy for new topics forbids it"),
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => Some(
            "the reader's Kafka user is not allowed to create it: give that user the right Create on the topic or on the cluster, or create \
                 the topic yourself",
        ),
        _ => match of_record(code) {
            Answer::Wait | Answer::OfAnother | Answer::OfOurOwn => None,
            Answer::Stop(reason) => Some(reason),
        },
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::types::RDKafkaRespErr;

    use super::*;

    /// Every code that librdkafka has.
    fn all() -> Vec<Code> {
        (-300..300)
            .filter_map(|number| RDKafkaRespErr::try_from(number).ok())
            .map(Code::from)
            .collect()
    }

    #[test]
    fn every_code_of_librdkafka_is_in_the_list_once() {
        let codes = all();
        assert!(codes.len() > 150, "{}", codes.len());
        for code in codes {
            let client = by_client(code);
            let broker = by_broker(code);
            assert!(client.is_some() != broker.is_some(), "{code:?}: {client:?}, {broker:?}");
        }
    }

    #[test]
    fn what_kafka_s_producer_calls_retriable_waits_and_what_it_calls_final_stops() {
        use Code::*;
        for code in [
            InvalidMessage,
            UnknownTopicOrPartition,
            LeaderNotAvailable,
            NotLeaderForPartition,
            RequestTimedOut,
            ReplicaNotAvailable,
            NetworkException,
            NotEnoughReplicas,
            NotEnoughReplicasAfterAppend,
            NotController,
            KafkaStorageError,
            ThrottlingQuotaExceeded,
        ] {
            assert_eq!(of_record(code), Answer::Wait, "{code:?}");
        }
        for code in [
            MessageSizeTooLarge,
            MessageBatchTooLarge,
            InvalidRecord,
            InvalidTopic,
            TopicAuthorizationFailed,
            ClusterAuthorizationFailed,
            InvalidTimestamp,
            UnsupportedVersion,
            PolicyViolation,
            Unknown,
            SaslAuthenticationFailed,
        ] {
            assert!(matches!(of_record(code), Answer::Stop(_)), "{code:?}");
        }
    }

    #[test]
    fn what_breaks_only_this_producer_is_mended_by_a_new_one() {
        use Code::*;
        for code in [OutOfOrderSequenceNumber, InvalidProducerEpoch, UnknownProducerId, Fenced] {
            assert_eq!(of_record(code), Answer::Wait, "{code:?}");
        }
    }

    #[test]
    fn no_code_counts_as_delivered() {
        assert!(matches!(of_record(Code::NoError), Answer::Stop(_)));
    }

    #[test]
    fn a_topic_waits_for_brokers_and_for_nothing_that_only_a_change_mends() {
        assert_eq!(of_new_topic(Code::InvalidReplicationFactor), None);
        assert_eq!(of_new_topic(Code::NotController), None);
        assert_eq!(of_new_topic(Code::RequestTimedOut), None);
        for code in [
            Code::InvalidConfig,
            Code::InvalidPartitions,
            Code::InvalidReplicaAssignment,
            Code::Unknown,
        ] {
            assert!(of_new_topic(code).is_some(), "{code:?}");
        }
    }
}
