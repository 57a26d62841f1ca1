//! Kafka with TLS and SASL: events, offsets and admin calls by each mechanism, the bad cases refused in one line,
//! rights that are just enough, and no secret anywhere.

use devstack::{Kafka, KafkaOptions, SecuredOptions, TokenEndpoint, shared};

use crate::support::load::{repeats, transactions};
use crate::support::{Connector, Launch, PATIENCE, Source, record_count, unique};

const PASSWORD: &str = "hide-me-93d4";
const USER: &str = "everything";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const TOKENS: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

fn broker() -> Kafka {
    let users = SecuredOptions::default()
        .super_user(USER, PASSWORD)
        .user("writer", PASSWORD)
        .user("blind", PASSWORD);
    Kafka::start(KafkaOptions::default().secured(users)).unwrap()
}

fn login(module: &str, user: &str, password: &str) -> String {
    format!("{module} required username=\"{user}\" password=\"{password}\";")
}

/// Where and how to reach Kafka.
struct Way {
    name: &'static str,
    bootstrap: String,
    /// Properties of the worker.
    worker: Vec<(&'static str, String)>,
    /// Properties of the connector.
    connector: Vec<(&'static str, String)>,
}

impl Way {
    fn new(name: &'static str, bootstrap: String, protocol: &str) -> Self {
        let worker = vec![("security.protocol", protocol.to_owned())];
        Self { name, bootstrap, worker, connector: Vec::new() }
    }

    fn worker(mut self, name: &'static str, value: &str) -> Self {
        self.worker.push((name, value.to_owned()));
        self
    }

    fn connector(mut self, name: &'static str, value: &str) -> Self {
        self.connector.push((name, value.to_owned()));
        self
    }

    fn sasl(self, mechanism: &str, jaas: &str) -> Self {
        self.worker("sasl.mechanism", mechanism).worker("sasl.jaas.config", jaas)
    }

    fn trusting(self, kafka: &Kafka) -> Self {
        let path = kafka.secured().truststore();
        self.worker("ssl.truststore.type", "PEM").worker("ssl.truststore.location", &path)
    }

    /// A reader that goes this way.
    fn launch(&self, connector: &Connector) -> Launch {
        let mut connector = connector.clone();
        for (name, value) in &self.connector {
            connector = connector.set(name, value);
        }
        let mut launch = Launch::new(&connector, &self.bootstrap)
            .env("RUST_LOG", "cdc_reader=trace,shared=trace,info")
            .env("KAFKA_JAAS", &login(SCRAM, USER, PASSWORD));
        for (name, value) in &self.worker {
            let name = name.replace('.', "_").to_uppercase();
            launch = launch.env(&format!("CONNECT_{name}"), value);
        }
        launch
    }
}

/// Captures over this way, is started again, and goes on where it was.
fn check_captures(kafka: &Kafka, way: &Way) {
    let id = unique("secured");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let connector = Connector::new(&source, &id);
    for first in [100, 200] {
        let reader = way.launch(&connector).start();
        reader.wait_for_line("streaming");
        source.run(&transactions(first, 3));
        let records = source.wait_until_published(&kafka.bootstrap(), &id);
        assert_eq!(repeats(&records), 0, "{}", way.name);
        for path in ["/", "/connectors?expand=info&expand=status", "/metrics", "/health"] {
            let page = reader.get(path).body;
            assert!(!page.contains(PASSWORD), "{}: {path} shows the password", way.name);
        }
        let log = reader.stop();
        assert!(!log.contains(PASSWORD), "{}: the log shows the password", way.name);
    }
    assert!(record_count(&kafka.bootstrap(), &format!("{id}-offsets")) > 0, "{}", way.name);
}

#[test]
fn each_mechanism_carries_events_offsets_and_admin_calls() {
    let kafka = broker();
    let secured = kafka.secured();
    let endpoint = TokenEndpoint::start("reader", PASSWORD, USER).unwrap();
    let (plain, scram) = (login(PLAIN, USER, PASSWORD), login(SCRAM, USER, PASSWORD));
    let sasl = |name| Way::new(name, secured.sasl(), "SASL_SSL").trusting(&kafka);
    let tokens = format!("{TOKENS} required clientId=\"reader\" clientSecret=\"{PASSWORD}\";");
    let overridden = sasl("overrides").worker("sasl.jaas.config", "nobody's");
    let overridden = ["producer", "admin", "consumer"].iter().fold(overridden, |way, kind| {
        let name = |end: &str| -> &'static str { format!("{kind}.override.{end}").leak() };
        way.connector(name("sasl.mechanism"), "SCRAM-SHA-256")
            .connector(name("sasl.jaas.config"), "${env:KAFKA_JAAS}")
    });
    for way in [
        sasl("PLAIN").sasl("PLAIN", &plain),
        overridden,
        Way::new("without TLS", secured.sasl_without_tls(), "SASL_PLAINTEXT")
            .sasl("SCRAM-SHA-512", &scram),
        sasl("OAUTHBEARER")
            .sasl("OAUTHBEARER", &tokens)
            .worker("sasl.oauthbearer.token.endpoint.url", &endpoint.url()),
        Way::new("certificate", secured.mutual(), "SSL")
            .trusting(&kafka)
            .worker("ssl.keystore.type", "PEM")
            .worker("ssl.keystore.location", &secured.client_store()),
        Way::new("another host", secured.stranger(), "SASL_SSL")
            .trusting(&kafka)
            .worker("ssl.endpoint.identification.algorithm", "")
            .sasl("SCRAM-SHA-512", &scram),
        Way::new("off", kafka.bootstrap(), "PLAINTEXT"),
    ] {
        check_captures(&kafka, &way);
    }
    assert!(endpoint.given() >= 2, "each start needs a token");
}

/// Expects that a reader ends with this code, one line with these words, and no secret.
#[track_caller]
fn check_end(way: &Way, connector: &Connector, expected: i32, words: &[&str]) {
    let mut reader = way.launch(connector).startup_timeout(3).start();
    let (code, log) = reader.wait_for_end(PATIENCE);
    assert_eq!(code, expected, "{}: {log}", way.name);
    let error = |line: &&str| !line.contains("DEBUG") && !line.contains("TRACE");
    let lines = log.lines().filter(error);
    let found = lines.filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert!(found >= 1, "{}: a line with {words:?} in:\n{log}", way.name);
    assert!(!log.contains(PASSWORD) && !log.contains("panicked"), "{}: {log}", way.name);
}

#[test]
fn whoever_cannot_get_in_is_told_in_one_line_what_to_change() {
    let kafka = broker();
    let secured = kafka.secured();
    let id = unique("denied");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let connector = Connector::new(&source, &id);
    let endpoint = TokenEndpoint::start("reader", PASSWORD, USER).unwrap();
    let sasl = |name| Way::new(name, secured.sasl(), "SASL_SSL");
    let plain = login(PLAIN, USER, PASSWORD);
    let wrong = |module| login(module, USER, "wrong");
    let check = |way: &Way, words: &[&str]| check_end(way, &connector, 2, words);

    let login_words = ["refuses our login", "sasl.jaas.config"];
    check(&sasl("wrong PLAIN").trusting(&kafka).sasl("PLAIN", &wrong(PLAIN)), &login_words);
    check(&sasl("wrong SCRAM").trusting(&kafka).sasl("SCRAM-SHA-512", &wrong(SCRAM)), &login_words);
    let tokens = format!("{TOKENS} required clientId=\"reader\" clientSecret=\"wrong\";");
    let tokens = sasl("wrong secret")
        .trusting(&kafka)
        .sasl("OAUTHBEARER", &tokens)
        .worker("sasl.oauthbearer.token.endpoint.url", &endpoint.url());
    check(&tokens, &["clientSecret", "invalid_client"]);
    check(&sasl("unknown authority").sasl("PLAIN", &plain), &["ssl.truststore.location"]);
    let host = Way::new("wrong host", secured.stranger(), "SASL_SSL");
    check(&host.trusting(&kafka).sasl("PLAIN", &plain), &["ssl.endpoint.identification.algorithm"]);
    let nobody = Way::new("no certificate", secured.mutual(), "SSL").trusting(&kafka);
    check(&nobody, &["ssl.keystore.location"]);
    let misspelt = sasl("misspelt").connector("producer.override.sasl.jass.config", PASSWORD);
    check(&misspelt, &["producer.override.sasl.jass.config"]);
    let store = sasl("Java's store").worker("ssl.keystore.location", "/no/such/store.jks");
    check(&store.sasl("PLAIN", &plain), &["ssl.keystore.location", "/no/such/store.jks"]);

    // A wrong protocol looks like an outage to either side, so it is waited for, and the property is named.
    let protocol = Way::new("no TLS", secured.sasl(), "PLAINTEXT");
    check_end(&protocol, &connector, 1, &["within 3 s of the start", "security.protocol"]);
}

#[test]
fn a_principal_that_may_write_but_not_create_topics_works_when_they_exist() {
    let kafka = broker();
    let id = unique("writer");
    let source = Source::with_load(&shared::stack().postgres15, &id);
    let connector = Connector::new(&source, &id);
    kafka.grant("writer", &["Write", "Describe", "Read"], &id).unwrap();
    kafka.grant("blind", &["Write", "Describe"], &id).unwrap();
    let by = |user| {
        Way::new(user, kafka.secured().sasl(), "SASL_SSL")
            .trusting(&kafka)
            .sasl("SCRAM-SHA-256", &login(SCRAM, user, PASSWORD))
    };
    check_end(&by("writer"), &connector, 2, &["cannot be created", "not allowed to create it"]);

    // Somebody who may creates them.
    let reader = Way::new("off", kafka.bootstrap(), "PLAINTEXT").launch(&connector).start();
    reader.wait_for_line("streaming");
    source.run(&transactions(1, 3));
    source.wait_until_published(&kafka.bootstrap(), &id);
    reader.stop();

    let reader = by("writer").launch(&connector).start();
    reader.wait_for_line(
        "Kafka does not tell the settings of the offset topic, and the reader may lack the right DescribeConfigs: make sure that the topic has cleanup.policy=compact alone",
    );
    reader.wait_for_line("streaming");
    source.run(&transactions(100, 3));
    let records = source.wait_until_published(&kafka.bootstrap(), &id);
    assert_eq!(repeats(&records), 0);
    reader.stop();
    check_end(&by("blind"), &connector, 2, &["not allowed to read offsets", "Read"]);
}
