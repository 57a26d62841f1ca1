//! Why Kafka did not take a record, and what follows from it. Pure.

use std::time::{Duration, Instant};

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use shared::kafka::{Refusal, refused_property};

use shared::debezium::envelope::parse;

use super::answers::{self, Answer};
use crate::disposition::Disposition;

/// The longest time between the reports of one batch. One thread delivers them one after the other, and may have to
/// wait for the processor between two of them.
const REPORTS_APART_MAX: Duration = Duration::from_secs(1);

/// A record that Kafka did not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue is full: wait for acknowledgements.
    #[error("the producer's queue is full")]
    QueueFull,
    /// A client, or a topic, cannot be made as configured.
    #[error("configuration for Kafka is refused: {0}")]
    Configuration(ConfigurationProblem),
    /// A record can never be taken: too large, or not allowed.
    #[error("topic {topic} refuses an event: {reason}")]
    Refused {
        /// The topic.
        topic: String,
        /// Why.
        reason: &'static str,
    },
    /// A record is larger than a limit of the producer or of the topic.
    #[error(
        "topic {topic} refuses an event: it is too large{of}: {bytes} bytes of key and value; raise both \
         producer.override.max.request.size in the connector file and max.message.bytes of the topic above that. Where the event is smaller \
         than max.message.bytes, lower producer.override.batch.size below it"
    )]
    TooLarge {
        /// The topic.
        topic: String,
        /// `, of table … at …`; empty when the record does not say it.
        of: String,
        /// The size of key and value.
        bytes: usize,
    },
    /// Kafka does not do now what it may do later; a new producer resumes from the last confirmed position.
    #[error("publishing to Kafka failed: {0}")]
    Broken(Breakage),
}

/// Why a client of Kafka, or a topic, can never be made as configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigurationProblem {
    /// librdkafka refuses the configuration of a client.
    #[error("{reason}")]
    Client {
        /// What librdkafka says, without any value.
        reason: String,
    },
    /// The brokers refuse this client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// librdkafka refuses the settings of new topics.
    #[error("topics cannot be created with the settings of topic.creation.default.*: {reason}")]
    Topics {
        /// What librdkafka says.
        reason: String,
    },
    /// The broker does not take this producer.
    #[error("Kafka does not take the reader's producer: {remedy} ({code})")]
    Producer {
        /// What the broker says.
        code: RDKafkaErrorCode,
        /// What has to be changed.
        remedy: &'static str,
    },
    /// The offset topic deletes records, so a stored offset would be gone after a while.
    #[error(
        "the offset topic {topic} has cleanup.policy={policy}, so Kafka deletes stored offsets after a while: set cleanup.policy=compact on \
         it, or name another topic with OFFSET_STORAGE_TOPIC"
    )]
    OffsetTopic {
        /// The topic.
        topic: String,
        /// Its policy.
        policy: String,
    },
    /// The broker refuses a topic.
    #[error("topic {topic} cannot be created: {reason} ({code})")]
    Topic {
        /// The topic.
        topic: String,
        /// What has to be changed.
        reason: &'static str,
        /// What the broker says.
        code: RDKafkaErrorCode,
    },
}

/// Why Kafka takes no records now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Breakage {
    /// A record came back, or could not be handed over.
    #[error("{error}")]
    Record {
        /// What librdkafka says.
        error: KafkaError,
    },
    /// The producer cannot go on.
    #[error("the producer cannot go on: {code}: {reason}")]
    Producer {
        /// What librdkafka or the broker says.
        code: RDKafkaErrorCode,
        /// The same in a sentence.
        reason: String,
    },
    /// librdkafka calls a record delivered that no broker has acknowledged: a later batch was taken, and librdkafka
    /// concludes that this one was taken too. A broker that has just become the leader of a new partition may have
    /// refused this batch and taken the later one, and then the record is nowhere (KAFKA-15591).
    #[error(
        "topic {topic}, partition {partition}: Kafka took a batch and has not acknowledged the one before it; both are sent again"
    )]
    NoOffset {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// Nothing was acknowledged for long, while the brokers answered others and reported no fault.
    #[error(
        "the producer stands still while the brokers report no fault; another producer takes its place"
    )]
    Stuck,
    /// A batch came back without a record that would be to blame.
    #[error("records came back because of another one, and none was named as the reason")]
    Batch,
    /// The machine gives no further thread.
    #[error("cannot start a thread: {reason}")]
    Thread {
        /// What the machine says.
        reason: String,
    },
    /// More events than there are numbers.
    #[error("event numbers ran out")]
    EventNumbers,
    /// No broker answers.
    #[error(
        "no Kafka broker answers at {bootstrap_servers} (does security.protocol fit the brokers' listener?): {reason}"
    )]
    NoBroker {
        /// Where.
        bootstrap_servers: String,
        /// What librdkafka says.
        reason: String,
    },
    /// The cluster does not answer a request for new topics.
    #[error("cannot create topics: {error}")]
    Topics {
        /// What librdkafka says.
        error: KafkaError,
    },
    /// The cluster cannot create a topic now.
    #[error("cannot create topic {topic}: {code}")]
    Topic {
        /// The topic.
        topic: String,
        /// What the broker says.
        code: RDKafkaErrorCode,
    },
}

impl ConfigurationProblem {
    /// librdkafka's error, without the value that it does not take.
    pub(super) fn client(error: &KafkaError) -> Self {
        Self::Client { reason: refused_property(error).unwrap_or_else(|| error.to_string()) }
    }
}

impl PublishError {
    /// Waiting does not help with a refused record.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::QueueFull | Self::Broken(_) => Disposition::Retry,
            Self::Configuration(_) | Self::Refused { .. } | Self::TooLarge { .. } => {
                Disposition::Stop
            }
        }
    }

    /// What follows from the error that came back for a record, or with which it could not be handed over.
    pub(super) fn of_record(error: &KafkaError, record: Rejected<'_>) -> Self {
        use RDKafkaErrorCode as Code;
        let topic = record.topic.to_owned();
        let code = error.rdkafka_error_code();
        if matches!(code, Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize)) {
            return Self::TooLarge { topic, of: record.source(), bytes: record.bytes() };
        }
        match code.map(answers::of_record) {
            Some(Answer::Stop(reason)) => Self::Refused { topic, reason },
            Some(Answer::Wait | Answer::OfAnother | Answer::OfOurOwn) | None => {
                Self::Broken(Breakage::Record { error: error.clone() })
            }
        }
    }

    /// What follows from a fatal error, after which the producer sends nothing more. `None` when the record that caused
    /// it tells more.
    pub(super) fn of_producer(code: RDKafkaErrorCode, reason: String) -> Option<Self> {
        match answers::of_record(code) {
            Answer::Wait => Some(Self::Broken(Breakage::Producer { code, reason })),
            Answer::Stop(remedy) => {
                let problem = ConfigurationProblem::Producer { code, remedy };
                Some(Self::Configuration(problem))
            }
            Answer::OfAnother | Answer::OfOurOwn => None,
        }
    }
}

/// A record that came back, or could not be handed over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rejected<'r> {
    pub(super) topic: &'r str,
    pub(super) key: Option<&'r [u8]>,
    pub(super) value: Option<&'r [u8]>,
}

impl Rejected<'_> {
    fn bytes(self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len)
    }

    /// Which table's change it is, and where it stands in the WAL. Nothing of the row is shown.
    fn source(self) -> String {
        let event = self.value.and_then(|value| parse(value).ok());
        let Some(source) = event.map(|event| event.source) else { return String::new() };
        let at = source.lsn.map(|lsn| format!(" at {lsn}")).unwrap_or_default();
        if source.table.is_empty() {
            return format!(", a logical decoding message{at}");
        }
        format!(", of table {}.{}{at}", source.schema, source.table)
    }
}

/// What has failed since the producer was made.
///
/// A refusal decides, whenever it comes, because another session would get the same refusal. Of all other failures the
/// first one counts.
#[derive(Debug, Default)]
pub(super) struct Failures {
    decisive: Option<PublishError>,
    /// When the first record came back for which another one is to blame.
    dragged_along: Option<Instant>,
}

impl Failures {
    /// Notes the error of a record that came back at `now`.
    pub(super) fn note(&mut self, error: &KafkaError, record: Rejected<'_>, now: Instant) {
        match error.rdkafka_error_code().map(answers::of_record) {
            Some(Answer::OfOurOwn) => {}
            Some(Answer::OfAnother) => {
                self.dragged_along.get_or_insert(now);
            }
            Some(Answer::Wait | Answer::Stop(_)) | None => {
                self.decide(PublishError::of_record(error, record));
            }
        }
    }

    /// Notes that a record is said to be delivered, and that no offset proves it.
    pub(super) fn note_without_offset(&mut self, topic: &str, partition: i32) {
        self.decide(PublishError::Broken(Breakage::NoOffset {
            topic: topic.to_owned(),
            partition,
        }));
    }

    /// Notes that the producer itself stands still.
    pub(super) fn note_stuck(&mut self) {
        self.decide(PublishError::Broken(Breakage::Stuck));
    }

    fn decide(&mut self, error: PublishError) {
        let decides = match &self.decisive {
            None => true,
            Some(known) => {
                known.disposition() == Disposition::Retry
                    && error.disposition() == Disposition::Stop
            }
        };
        if decides {
            self.decisive = Some(error);
        }
    }

    /// The failure that ends the session, if there is one at `now`. librdkafka also gives back records that were queued
    /// after a failed one. The report of such a record does not end the session as long as the report of the failed
    /// record may still come.
    pub(super) fn decisive(&self, now: Instant) -> Option<PublishError> {
        self.decisive.clone().or_else(|| {
            let since = self.dragged_along?;
            (now.saturating_duration_since(since) >= REPORTS_APART_MAX)
                .then_some(PublishError::Broken(Breakage::Batch))
        })
    }
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as Code;

    use super::*;

    const RECORD: Rejected<'static> = Rejected { topic: "t", key: Some(b"key"), value: None };

    /// What has been decided after these reports, at once and after a while.
    fn decided(reports: &[Code]) -> [Option<PublishError>; 2] {
        let now = Instant::now();
        let mut failures = Failures::default();
        for code in reports {
            failures.note(&KafkaError::MessageProduction(*code), RECORD, now);
        }
        [failures.decisive(now), failures.decisive(now + REPORTS_APART_MAX)]
    }

    #[track_caller]
    fn check_refused(reports: &[Code], words: &str) {
        for error in decided(reports) {
            let error = error.unwrap();
            assert_eq!(error.disposition(), Disposition::Stop, "{error}");
            let text = error.to_string();
            assert!(text.starts_with("topic t refuses") && text.contains(words), "{text}");
        }
    }

    #[test]
    fn a_batch_with_a_bad_record_is_refused_in_whatever_order_its_reports_come() {
        let (bad, other) = (Code::InvalidRecord, Code::InvalidDifferentRecord);
        check_refused(&[bad], "compacted");
        check_refused(&[bad, other], "compacted");
        check_refused(&[other, bad], "compacted");
        check_refused(&[other, other, bad, other], "compacted");
    }

    #[test]
    fn a_refusal_is_not_hidden_by_what_else_failed() {
        let outage = Code::BrokerTransportFailure;
        check_refused(&[outage, Code::InvalidRecord], "compacted");
        check_refused(&[Code::MessageSizeTooLarge, outage], "max.request.size");
        check_refused(&[Code::MessageSizeTooLarge, Code::InvalidRecord], "max.request.size");
    }

    #[test]
    fn an_event_that_is_too_large_is_named_by_table_and_position_and_both_limits() {
        let value = br#"{"before":null,"after":{"id":1,"secret":"row"},"source":{"version":"3","connector":"postgresql","name":"p","ts_ms":1,"ts_us":1,"snapshot":"false","db":"d","schema":"public","table":"big","txId":5,"lsn":16,"xmin":null},"op":"c","ts_ms":1,"ts_us":1}"#;
        let record = Rejected { value: Some(value), ..RECORD };
        let error = KafkaError::MessageProduction(Code::MessageSizeTooLarge);
        let text = PublishError::of_record(&error, record).to_string();
        assert_eq!(
            text,
            format!(
                "topic t refuses an event: it is too large, of table public.big at 0/10: {} bytes of key and value; raise both \
                 producer.override.max.request.size in the connector file and max.message.bytes of the topic above that. Where the event is \
                 smaller than max.message.bytes, lower producer.override.batch.size below it",
                value.len() + 3
            )
        );
    }

    #[test]
    fn a_record_that_only_shared_a_bad_batch_is_tried_again_by_another_session() {
        let [at_once, later] = decided(&[Code::InvalidDifferentRecord]);
        assert_eq!(at_once, None);
        assert_eq!(later.unwrap().disposition(), Disposition::Retry);
    }

    #[test]
    fn a_fatal_error_is_judged_by_what_is_behind_it() {
        let of = |code| PublishError::of_producer(code, "why".to_owned());
        let stops = of(Code::ClusterAuthorizationFailed).unwrap();
        assert_eq!(stops.disposition(), Disposition::Stop);
        assert!(stops.to_string().contains("IdempotentWrite"), "{stops}");
        assert_eq!(of(Code::OutOfOrderSequenceNumber).unwrap().disposition(), Disposition::Retry);
        assert_eq!(of(Code::InvalidProducerEpoch).unwrap().disposition(), Disposition::Retry);
        // The record that made the gap says why.
        assert_eq!(of(Code::GaplessGuarantee), None);
    }

    #[test]
    fn a_record_without_an_offset_is_sent_again_by_another_session_and_hides_no_refusal() {
        let now = Instant::now();
        let mut failures = Failures::default();
        failures.note_without_offset("t", 2);
        let error = failures.decisive(now).unwrap();
        assert_eq!(error.disposition(), Disposition::Retry);
        assert!(error.to_string().contains("topic t, partition 2: Kafka took a batch"), "{error}");
        failures.note(&KafkaError::MessageProduction(Code::InvalidRecord), RECORD, now);
        assert_eq!(failures.decisive(now).unwrap().disposition(), Disposition::Stop);
    }

    #[test]
    fn what_the_end_of_a_producer_purges_is_no_failure() {
        assert_eq!(decided(&[Code::PurgeQueue, Code::PurgeInflight]), [None, None]);
    }
}
