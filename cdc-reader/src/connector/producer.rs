//! `producer.override.*`: the Java producer's properties in librdkafka's words. Those of TLS and SASL are read in
//! `shared::kafka`, together with the worker's.
//!
//! In: a property's name without the prefix and its value. Out: librdkafka's name and value, or the reason why there is
//! none. Overrides that would weaken the guarantees are refused, because the reader confirms the slot when the broker
//! has acknowledged.

use super::properties::Values;

/// librdkafka's limits where they are narrower than Java's, from librdkafka's CONFIGURATION.md.
const LINGER_MS_MAX: i64 = 900_000;
const MESSAGE_BYTES_MIN: i64 = 1_000;
const MESSAGE_BYTES_MAX: i64 = 1_000_000_000;
const INT_MAX: i64 = 2_147_483_647;

/// How one Java property is written for librdkafka.
enum Rule {
    /// The same value under another name, or the same.
    Same(&'static str, Values),
    /// Bytes there, kilobytes here.
    Kilobytes(&'static str, i64, i64),
    /// Checked and not passed on. The producer sends a change until the broker has it, so limits on attempts change
    /// nothing that arrives.
    Idle(Values),
    /// Only these values are allowed. They are in force anyway, so nothing is set.
    Fixed(&'static [&'static str], &'static str),
}

/// Java's name and the rule for it.
#[rustfmt::skip] // a property a line, to be read as a table
const RULES: &[(&str, Rule)] = &[
    ("acks", Rule::Fixed(&["all", "-1"], "a change counts as delivered once every in-sync replica has it")),
    ("enable.idempotence", Rule::Fixed(&["true"], "without it a retry could reorder or repeat changes")),
    ("compression.type", Rule::Same("compression.type", Values::OneOf(&["none", "gzip", "snappy", "lz4", "zstd"]))),
    ("linger.ms", Rule::Same("linger.ms", Values::Integer(0, LINGER_MS_MAX))),
    ("batch.size", Rule::Same("batch.size", Values::Integer(1, INT_MAX))),
    ("buffer.memory", Rule::Kilobytes("queue.buffering.max.kbytes", 1, INT_MAX)),
    ("max.request.size", Rule::Same("message.max.bytes", Values::Integer(MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX))),
    ("max.in.flight.requests.per.connection", Rule::Same("max.in.flight.requests.per.connection", Values::Integer(1, 5))),
    ("retries", Rule::Idle(Values::Integer(0, INT_MAX))),
    ("delivery.timeout.ms", Rule::Idle(Values::Integer(0, INT_MAX))),
    ("request.timeout.ms", Rule::Same("request.timeout.ms", Values::Integer(1, LINGER_MS_MAX))),
    ("retry.backoff.ms", Rule::Same("retry.backoff.ms", Values::Integer(1, 300_000))),
    ("retry.backoff.max.ms", Rule::Same("retry.backoff.max.ms", Values::Integer(1, 300_000))),
    ("reconnect.backoff.ms", Rule::Same("reconnect.backoff.ms", Values::Integer(0, 3_600_000))),
    ("reconnect.backoff.max.ms", Rule::Same("reconnect.backoff.max.ms", Values::Integer(0, 3_600_000))),
    ("metadata.max.age.ms", Rule::Same("metadata.max.age.ms", Values::Integer(1, 86_400_000))),
    ("connections.max.idle.ms", Rule::Same("connections.max.idle.ms", Values::Integer(0, INT_MAX))),
    ("socket.connection.setup.timeout.ms", Rule::Same("socket.connection.setup.timeout.ms", Values::Integer(1_000, INT_MAX))),
    ("send.buffer.bytes", Rule::Same("socket.send.buffer.bytes", Values::Integer(0, 100_000_000))),
    ("receive.buffer.bytes", Rule::Same("socket.receive.buffer.bytes", Values::Integer(0, 100_000_000))),
    ("client.id", Rule::Same("client.id", Values::Text)),
];

/// librdkafka's name and value. `None` where the override asks for what is always in force.
pub(super) fn translate(name: &str, value: &str) -> Result<Option<(String, String)>, String> {
    let Some((_, rule)) = RULES.iter().find(|(java, _)| *java == name) else {
        let known: Vec<&str> = RULES.iter().map(|(java, _)| *java).collect();
        return Err(format!(
            "is not supported: of the producer's properties there are {}",
            known.join(", ")
        ));
    };
    let value = value.trim();
    match rule {
        Rule::Fixed(allowed, why) => {
            let fits = allowed.iter().any(|word| word.eq_ignore_ascii_case(value));
            if fits { Ok(None) } else { Err(format!("must be {}: {why}", allowed[0])) }
        }
        Rule::Kilobytes(native, min, max) => {
            let kilobytes = value.parse::<i64>().ok().map(|bytes| bytes / 1024);
            match kilobytes.filter(|count| (min..=max).contains(&count)) {
                Some(count) => Ok(Some(((*native).to_owned(), count.to_string()))),
                None => Err(format!("must be an integer, at least {} bytes", min * 1024)),
            }
        }
        Rule::Idle(values) => match super::lookup::misfit(value, *values) {
            Some(wanted) => Err(format!("must be {wanted}")),
            None => Ok(None),
        },
        Rule::Same(native, values) => match super::lookup::misfit(value, *values) {
            Some(wanted) => Err(format!("must be {wanted}")),
            None => Ok(Some(((*native).to_owned(), in_case(value, *values)))),
        },
    }
}

/// Words are lower case in librdkafka; free text keeps its case.
fn in_case(value: &str, values: Values) -> String {
    match values {
        Values::OneOf(_) => value.to_ascii_lowercase(),
        Values::Text | Values::Boolean | Values::Integer(..) => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str, expected: Option<(&str, &str)>) {
        let translated = translate(name, value).unwrap();
        assert_eq!(
            translated.as_ref().map(|(name, value)| (name.as_str(), value.as_str())),
            expected
        );
    }

    #[test]
    fn java_s_words_become_librdkafka_s() {
        check("compression.type", "LZ4", Some(("compression.type", "lz4")));
        check("buffer.memory", "134217728", Some(("queue.buffering.max.kbytes", "131072")));
        check("max.request.size", "5000000", Some(("message.max.bytes", "5000000")));
        check("acks", "all", None);
        check("acks", "-1", None);
    }

    #[test]
    fn librdkafka_takes_every_translated_property() {
        for (java, rule) in RULES {
            let value = match rule {
                Rule::Fixed(allowed, _) => allowed[0].to_owned(),
                Rule::Kilobytes(..) => "33554432".to_owned(),
                Rule::Same(_, Values::Integer(min, max))
                | Rule::Idle(Values::Integer(min, max)) => 1_000.clamp(*min, *max).to_string(),
                Rule::Same(_, Values::OneOf(words)) => words[1].to_owned(),
                Rule::Same(..) | Rule::Idle(_) => "reader".to_owned(),
            };
            let mut config = rdkafka::ClientConfig::new();
            config.set("bootstrap.servers", "127.0.0.1:1").set("enable.idempotence", "true");
            if let Some((name, value)) = translate(java, &value).unwrap() {
                config.set(name, value);
            }
            let producer: Result<rdkafka::producer::BaseProducer, _> = config.create();
            assert!(producer.is_ok(), "{java}: {:?}", producer.err());
        }
    }

    #[test]
    fn delivery_is_tried_until_it_succeeds_whatever_the_limits_say() {
        check("delivery.timeout.ms", "120000", None);
        check("retries", "3", None);
        assert!(translate("retries", "some").is_err());
    }

    #[test]
    fn what_weakens_delivery_or_is_unknown_is_refused() {
        for (name, value) in [
            ("acks", "1"),
            ("acks", "0"),
            ("enable.idempotence", "false"),
            ("max.in.flight.requests.per.connection", "6"),
            ("compression.type", "brotli"),
            ("batch.size", "0"),
            ("buffer.memory", "12"),
            ("partitioner.class", "x"),
            ("linger.ms", "soon"),
        ] {
            assert!(translate(name, value).is_err(), "{name}={value}");
        }
    }
}
