//! Kafka with TLS and SASL: each mechanism loads, the bad cases are refused in one line, and no secret is shown.

use devstack::{Kafka, KafkaOptions, SecuredOptions, TokenEndpoint};

use crate::support::{World, airport, create};

const PASSWORD: &str = "hide-me-51c0";
const USER: &str = "everything";
const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";
const TOKENS: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";

fn broker() -> Kafka {
    let users = SecuredOptions::default().super_user(USER, PASSWORD);
    Kafka::start(KafkaOptions::default().secured(users)).unwrap()
}

type Variables = Vec<(String, String)>;

/// Variables of the loader: the broker, and properties by Java's names.
fn variables(bootstrap: &str, properties: &[(&str, &str)]) -> Variables {
    let mut variables = vec![("VAULT_LOADER__BOOTSTRAP_SERVERS".to_owned(), bootstrap.to_owned())];
    for (name, value) in properties {
        let name = name.replace('.', "_").to_uppercase();
        variables.push((format!("VAULT_LOADER__KAFKA__{name}"), (*value).to_owned()));
    }
    variables
}

fn borrowed(variables: &Variables) -> Vec<(&str, &str)> {
    variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn login(module: &str, password: &str) -> String {
    format!("{module} required username=\"{USER}\" password=\"{password}\";")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mechanism_loads_and_tells_the_status() {
    let kafka = broker();
    let secured = kafka.secured();
    let endpoint = TokenEndpoint::start("loader", PASSWORD, USER).unwrap();
    let (url, truststore, keystore) =
        (endpoint.url(), secured.truststore(), secured.client_store());
    let (plain, scram) = (login(PLAIN, PASSWORD), login(SCRAM, PASSWORD));
    let tokens = format!("{TOKENS} required clientId=\"loader\" clientSecret=\"{PASSWORD}\";");
    let ca = ("ssl.truststore.location", truststore.as_str());
    let sasl_ssl = ("security.protocol", "SASL_SSL");
    let by = |mechanism, jaas| [("sasl.mechanism", mechanism), ("sasl.jaas.config", jaas)];
    let cases = [
        ("plain", secured.sasl(), [&[sasl_ssl, ca][..], &by("PLAIN", &plain)].concat()),
        ("scram256", secured.sasl(), [&[sasl_ssl, ca][..], &by("SCRAM-SHA-256", &scram)].concat()),
        (
            "scram512",
            secured.sasl_without_tls(),
            [&[("security.protocol", "SASL_PLAINTEXT")][..], &by("SCRAM-SHA-512", &scram)].concat(),
        ),
        (
            "tokens",
            secured.sasl(),
            [
                &[sasl_ssl, ca, ("sasl.oauthbearer.token.endpoint.url", url.as_str())][..],
                &by("OAUTHBEARER", &tokens),
            ]
            .concat(),
        ),
        (
            "certificate",
            secured.mutual(),
            vec![("security.protocol", "SSL"), ca, ("ssl.keystore.location", keystore.as_str())],
        ),
        ("off", kafka.bootstrap(), Vec::new()),
    ];
    let mut world = World::at("secured", &kafka.bootstrap()).await;
    for (number, (name, bootstrap, properties)) in cases.iter().enumerate() {
        let code = format!("AA{}", char::from(b'A' + u8::try_from(number).unwrap()));
        let lsn = 10 + i64::try_from(number).unwrap();
        world.publish(create("airports", lsn, airport(&code, "Omsk"))).await;
        let variables = variables(bootstrap, properties);
        let mut variables = borrowed(&variables);
        variables.push(("RUST_LOG", "vault_loader=trace,shared=trace,info"));
        let mut loader = world.loader_with(name, &variables);
        world.loaded().await;
        let status = world.command_with(&["status", "--json"], &variables);
        let said = format!("{}{}", text(&status.stdout), text(&status.stderr));
        assert!(status.status.success(), "{name}: {said}");
        assert!(text(&status.stdout).contains("\"lag_events\":0"), "{name}: {said}");
        world.end(&mut loader);
        let said = format!("{said}{}", world.log(name));
        assert!(!said.contains(PASSWORD), "{name}: the password is shown");
    }
    assert!(endpoint.given() > 0);
    let keys = "SELECT count(*) FROM dwh_detailed.hub_airports WHERE airport_code IS NOT NULL";
    world.assert_rows(keys, &["(6)"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_refused_is_told_what_to_change_and_exits_2() {
    let kafka = broker();
    let secured = kafka.secured();
    let truststore = secured.truststore();
    let ca = ("ssl.truststore.location", truststore.as_str());
    let (plain, scram) = (login(PLAIN, PASSWORD), login(SCRAM, "wrong"));
    let sasl_ssl = ("security.protocol", "SASL_SSL");
    let by = |mechanism, jaas| [("sasl.mechanism", mechanism), ("sasl.jaas.config", jaas)];
    let cases = [
        (
            secured.sasl(),
            [&[sasl_ssl, ca][..], &by("SCRAM-SHA-512", &scram)].concat(),
            "refuses our login",
        ),
        (
            secured.sasl(),
            [&[sasl_ssl][..], &by("PLAIN", &plain)].concat(),
            "ssl.truststore.location",
        ),
        (
            secured.stranger(),
            [&[sasl_ssl, ca][..], &by("PLAIN", &plain)].concat(),
            "ssl.endpoint.identification.algorithm",
        ),
        (secured.sasl(), [&[sasl_ssl, ca][..], &by("PLAIN", &scram)].concat(), "PlainLoginModule"),
    ];
    let world = World::new("denied").await;
    for (bootstrap, properties, words) in &cases {
        let variables = variables(bootstrap, properties);
        for command in ["run", "status"] {
            let output = world.command_with(&[command], &borrowed(&variables));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command}, {words}: {said}");
            let lines = said.lines().filter(|line| line.contains(words)).count();
            assert_eq!(lines, 1, "{command}: one line with {words:?} in {said}");
            assert!(!said.contains(PASSWORD), "{command}: the password is shown");
        }
    }
}
