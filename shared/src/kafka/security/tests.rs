//! Properties of Java's clients, as operators write them, against what librdkafka takes.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use rdkafka::ClientConfig;
use rdkafka::producer::BaseProducer;

use super::*;

/// A certificate of nobody and its key, made for these tests.
struct Pair {
    certificate: String,
    key: String,
}

fn pair() -> &'static Pair {
    static PAIR: OnceLock<Pair> = OnceLock::new();
    PAIR.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-subj", "/CN=nobody", "-keyout", "key", "-out", "crt"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        Pair { certificate: read("crt"), key: read("key") }
    })
}

const PLAIN: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"hunter2\";";
const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"hunter2\";";
const OAUTH: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required clientId=\"c\" \
    clientSecret=\"hunter2\" scope=\"kafka\" extension_logicalCluster=\"lkc-1\" extension_identityPoolId=\"pool-1\";";

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(name, value)| (*name, Secret::new(*value))).collect()
}

/// What librdkafka gets, which must be enough for it to make a client.
#[track_caller]
fn accepted(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let security = Security::read(&properties(pairs))
        .unwrap_or_else(|problems| panic!("refused: {problems:?}"));
    assert!(!format!("{security:?}").contains("hunter2"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", "127.0.0.1:1");
    for (name, value) in security.native() {
        config.set(name, value);
    }
    let client: Result<BaseProducer, _> = config.create();
    assert!(client.is_ok(), "{pairs:?}: {:?}", client.err());
    security.native().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[track_caller]
fn check(pairs: &[(&str, &str)], expected: &[(&str, &str)]) {
    let found = accepted(pairs);
    for (name, value) in expected {
        let found = found.iter().find(|(found, _)| found == name);
        assert_eq!(found.map(|(_, value)| value.as_str()), Some(*value), "{name} of {pairs:?}");
    }
}

/// Checks that there is one problem, which begins with the name and holds the words.
#[track_caller]
fn check_refused(pairs: &[(&str, &str)], name: &str, words: &str) {
    let problems = Security::read(&properties(pairs)).expect_err("it must be refused");
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(name) && problems[0].contains(words), "{problems:?}");
    assert!(!problems[0].contains("hunter2"), "{problems:?}");
}

fn file(dir: &tempfile::TempDir, name: &str, content: &[u8]) -> String {
    let path: PathBuf = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn nothing_given_is_nothing_set() {
    assert_eq!(accepted(&[]), []);
    assert_eq!(accepted(&[("security.protocol", "PLAINTEXT"), ("linger.ms", "5")]), []);
}

#[test]
fn each_mechanism_is_set_up_from_its_jaas_line() {
    let sasl = |mechanism, jaas| {
        [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", mechanism),
            ("sasl.jaas.config", jaas),
        ]
    };
    let login =
        [("sasl.username", "u"), ("sasl.password", "hunter2"), ("ssl.ca.location", "probe")];
    check(&sasl("PLAIN", PLAIN), &login);
    check(&sasl("SCRAM-SHA-256", SCRAM), &login);
    check(
        &sasl("SCRAM-SHA-512", SCRAM),
        &[("sasl.mechanism", "SCRAM-SHA-512"), ("security.protocol", "sasl_ssl")],
    );
    let mut oauth = sasl("OAUTHBEARER", OAUTH).to_vec();
    oauth.push(("sasl.oauthbearer.token.endpoint.url", "https://idp.example/token"));
    oauth.push((
        "sasl.login.callback.handler.class",
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
    ));
    check(
        &oauth,
        &[
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.client.id", "c"),
            ("sasl.oauthbearer.client.secret", "hunter2"),
            ("sasl.oauthbearer.scope", "kafka"),
            ("sasl.oauthbearer.extensions", "logicalCluster=lkc-1,identityPoolId=pool-1"),
            ("https.ca.location", "probe"),
        ],
    );
    check(
        &[
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.token.endpoint.url", "http://127.0.0.1:1/token"),
            ("sasl.oauthbearer.client.credentials.client.id", "d"),
            ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
        ],
        &[("sasl.oauthbearer.client.id", "d")],
    );
    check(
        &[
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "hunter2"),
        ],
        &[("sasl.password", "hunter2")],
    );
}

#[test]
fn certificates_come_from_files_or_from_values() {
    let Pair { certificate, key } = pair();
    let dir = tempfile::tempdir().unwrap();
    let ca = file(&dir, "ca.pem", certificate.as_bytes());
    let both = file(&dir, "both.pem", format!("{key}{certificate}").as_bytes());
    let tls = ("security.protocol", "SSL");
    check(
        &[tls, ("ssl.truststore.type", "PEM"), ("ssl.truststore.location", &ca)],
        &[("ssl.ca.location", &ca), ("ssl.endpoint.identification.algorithm", "https")],
    );
    let joined = certificate.replace('\n', " ");
    check(&[tls, ("ssl.truststore.certificates", &joined)], &[("ssl.ca.pem", certificate)]);
    check(
        &[tls, ("ssl.keystore.type", "PEM"), ("ssl.keystore.location", &both)],
        &[("ssl.certificate.location", &both), ("ssl.key.location", &both)],
    );
    check(
        &[tls, ("ssl.keystore.key", key), ("ssl.keystore.certificate.chain", &joined)],
        &[("ssl.certificate.pem", certificate), ("ssl.key.pem", key)],
    );
    check(
        &[tls, ("ssl.endpoint.identification.algorithm", "")],
        &[("ssl.endpoint.identification.algorithm", "none")],
    );
}

#[test]
fn a_store_that_only_java_reads_is_refused_with_the_command_that_converts_it() {
    let Pair { certificate, key } = pair();
    let dir = tempfile::tempdir().unwrap();
    let jks = file(&dir, "store.jks", b"\xfe\xed\xfe\xed\0\0\0\x02hunter2");
    let p12 = file(&dir, "store.p12", b"\x30\x82\x01\x02hunter2");
    let text = file(&dir, "store.txt", b"hunter2");
    let ca = file(&dir, "ca.pem", certificate.as_bytes());
    let refused = |name: &str, path: &str, words: &str| {
        check_refused(&[("security.protocol", "SSL"), (name, path)], "ssl.", words);
    };
    refused("ssl.truststore.location", &jks, &format!("keytool -list -rfc -keystore {jks}"));
    refused("ssl.truststore.location", &p12, &format!("openssl pkcs12 -in {p12} -nokeys"));
    refused("ssl.truststore.location", &text, "neither PEM nor a keystore");
    refused("ssl.truststore.location", "/no/such/file", "/no/such/file");
    refused("ssl.keystore.location", &jks, "keytool -importkeystore");
    refused("ssl.keystore.location", &p12, "ssl.keystore.password is required");
    refused("ssl.keystore.location", &ca, "both a private key and its certificates");
    let key = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    check_refused(
        &[
            ("security.protocol", "SSL"),
            ("ssl.keystore.key", &key),
            ("ssl.keystore.certificate.chain", certificate),
        ],
        "ssl.key.password",
        "encrypted",
    );
}

#[test]
fn each_problem_names_its_property_and_the_remedy() {
    let key = &pair().key;
    let sasl = ("security.protocol", "SASL_PLAINTEXT");
    check_refused(&[("security.protocol", "TLS")], "security.protocol", "SASL_SSL");
    check_refused(&[sasl], "sasl.mechanism", "SCRAM-SHA-512");
    check_refused(&[sasl, ("sasl.mechanism", "GSSAPI")], "sasl.mechanism", "one of PLAIN");
    let plain = ("sasl.mechanism", "PLAIN");
    check_refused(
        &[sasl, plain, ("sasl.jaas.config", SCRAM)],
        "sasl.jaas.config",
        "PlainLoginModule",
    );
    check_refused(&[sasl, plain, ("sasl.jaas.config", "hunter2")], "sasl.jaas.config", "begin");
    let half = PLAIN.replace("username=\"u\"", "");
    check_refused(&[sasl, plain, ("sasl.jaas.config", &half)], "sasl.jaas.config", "username");
    let oauth = [sasl, ("sasl.mechanism", "OAUTHBEARER"), ("sasl.jaas.config", OAUTH)];
    check_refused(&oauth, "sasl.oauthbearer.token.endpoint.url", "required");
    let tls = ("security.protocol", "SSL");
    check_refused(&[tls, ("ssl.truststore.type", "BKS")], "ssl.truststore.type", "PEM");
    check_refused(
        &[tls, ("ssl.truststore.certificates", "hunter2")],
        "ssl.truststore.certificates",
        "PEM",
    );
    check_refused(&[tls, ("ssl.keystore.key", key)], "ssl.keystore.key", "together");
    check_refused(
        &[tls, ("ssl.endpoint.identification.algorithm", "ldaps")],
        "ssl.endpoint.identification.algorithm",
        "empty",
    );
    check_refused(&[("sasl.jass.config", "hunter2")], "sasl.jass.config", "no property");
    check_refused(&[("ssl.key.password", "hunter2\0")], "ssl.key.password", "zero byte");
}

#[test]
fn what_has_no_effect_is_said() {
    let security = Security::read(&properties(&[("sasl.jaas.config", PLAIN)])).unwrap();
    assert_eq!(
        security.warnings(),
        ["sasl.jaas.config has no effect with security.protocol=PLAINTEXT"]
    );
    assert_eq!(security.mechanism(), None);
}
