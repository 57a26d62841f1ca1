//! What a configuration is read as, and what is refused without being shown.

use super::*;

fn read(variables: &[(&str, &str)]) -> Result<Config, String> {
    let mut source = std::collections::HashMap::new();
    for (name, value) in [
        ("VAULT_LOADER__DATABASE__HOST", "localhost"),
        ("VAULT_LOADER__DATABASE__NAME", "dwh"),
        ("VAULT_LOADER__DATABASE__USER", "vault_loader"),
    ]
    .iter()
    .chain(variables)
    {
        source.insert((*name).to_owned(), (*value).to_owned());
    }
    let environment = config::Environment::with_prefix(ENV_PREFIX).source(Some(source));
    Config::read(None, environment).map_err(|err| err.to_string())
}

#[test]
fn variables_are_enough() {
    let config = read(&[
        ("VAULT_LOADER__DATABASE__PASSWORD", "007"),
        ("VAULT_LOADER__DATABASE__PORT", "5434"),
        ("VAULT_LOADER__BOOTSTRAP_SERVERS", "localhost:9092"),
        ("VAULT_LOADER__BATCH__ROWS_MAX", "500"),
        ("VAULT_LOADER__LISTEN", "127.0.0.1:1"),
    ])
    .unwrap();
    assert_eq!(config.database.password.expose(), "007");
    assert_eq!((config.database.port, config.batch.rows_max), (5434, 500));
    assert!(config.require_kafka().is_ok());
    assert!(!format!("{config:?}").contains("007"));
}

#[track_caller]
fn check(name: &str, value: &str, expected: &str) {
    let message = read(&[(name, value)]).expect_err("refused");
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_short_secret_is_refused_without_being_shown() {
    for short in ["", "short", "thirty-one-bytes-are-too-few..."] {
        check("VAULT_LOADER__KEY_SECRET", short, "key_secret: must have at least 32 bytes");
    }
    let secret = "0123456789abcdef0123456789abcdef";
    let config = read(&[("VAULT_LOADER__KEY_SECRET", secret)]).unwrap();
    assert!(!format!("{config:?}").contains(secret));
    assert_eq!(config.key_secret.unwrap().expose(), secret);
    assert!(read(&[]).unwrap().key_secret.is_none());
}

#[test]
fn properties_that_would_switch_a_guarantee_off_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("loader.toml");
    let load = |property: &str| {
        let database = "[database]\nhost = \"localhost\"\nname = \"n\"\nuser = \"u\"\n";
        let text = format!("{database}[kafka]\n\"{property}\" = \"x\"\n");
        std::fs::write(&path, text).unwrap();
        Config::read(Some(&path), config::Environment::with_prefix(ENV_PREFIX))
    };
    for (property, _) in OWN_PROPERTIES {
        let message = load(property).expect_err(property).to_string();
        assert!(message.contains(&format!("kafka: {property} must not be set")), "{message}");
    }
    let accepted = load("sasl.username").unwrap();
    let found: Vec<_> = accepted.kafka.iter().map(|(name, value)| (name, value.expose())).collect();
    assert_eq!(found, [("sasl.username", "x")]);
}

#[test]
fn tls_and_sasl_come_from_the_environment_and_librdkafkas_own_words_win() {
    let login = "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"u\" password=\"hunter2\";";
    let config = read(&[
        ("VAULT_LOADER__BOOTSTRAP_SERVERS", "k:1"),
        ("VAULT_LOADER__KAFKA__SECURITY_PROTOCOL", "SASL_SSL"),
        ("VAULT_LOADER__KAFKA__SASL_MECHANISMS", "SCRAM-SHA-512"),
        ("VAULT_LOADER__KAFKA__SASL_JAAS_CONFIG", login),
        ("VAULT_LOADER__KAFKA__SSL_CA_PEM", "x"),
        ("VAULT_LOADER__KAFKA__SOCKET_TIMEOUT_MS", "7000"),
    ])
    .unwrap();
    let client = config.kafka_client("me").unwrap();
    let expected = [
        ("security.protocol", Some("sasl_ssl")),
        ("sasl.mechanism", Some("SCRAM-SHA-512")),
        ("sasl.username", Some("u")),
        ("sasl.password", Some("hunter2")),
        ("ssl.ca.pem", Some("x")),
        ("ssl.ca.location", None),
        ("socket.timeout.ms", Some("7000")),
    ];
    for (name, value) in expected {
        assert_eq!(client.get(name), value, "{name}");
    }
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn half_a_login_is_refused_by_name() {
    let config = read(&[
        ("VAULT_LOADER__BOOTSTRAP_SERVERS", "k:1"),
        ("VAULT_LOADER__KAFKA__SECURITY_PROTOCOL", "SASL_SSL"),
        ("VAULT_LOADER__KAFKA__SASL_MECHANISM", "PLAIN"),
        ("VAULT_LOADER__KAFKA__SASL_USERNAME", "u"),
    ]);
    let message = config.unwrap().require_kafka().unwrap_err().to_string();
    assert!(message.contains("kafka: sasl.jaas.config must give password"), "{message}");
}

/// What a file with a secret in it says when it is refused.
fn refusal(name: &str, text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    let read = Config::read(Some(&path), config::Environment::with_prefix("NO_SUCH_PREFIX"));
    let error = match read.and_then(|config| config.require_kafka().map(|()| config)) {
        Ok(config) => panic!("{config:?}"),
        Err(error) => error,
    };
    let message = format!("{error} {error:?}");
    assert!(!message.contains("hunter2"), "{message}");
    message
}

#[track_caller]
fn check_refusal(name: &str, text: &str, expected: &str) {
    let message = refusal(name, text);
    assert!(message.contains(expected), "{message}");
}

#[test]
fn a_file_that_cannot_be_parsed_is_refused_by_name_and_line_without_being_shown() {
    let toml = "[database]\nhost = \"localhost\"\npassword = hunter2\n";
    check_refusal("loader.toml", toml, "loader.toml cannot be parsed at line 3, column ");
    let yaml = "database:\n  host: h\n  password: [hunter2\n";
    check_refusal("loader.yaml", yaml, "loader.yaml cannot be parsed at line ");
    let json = "{\"database\": {\"password\": hunter2}}";
    check_refusal("loader.json", json, "loader.json cannot be parsed at line 1, column ");
}

#[test]
fn a_secret_in_the_wrong_place_is_refused_without_being_shown() {
    let database =
        "bootstrap_servers = \"b\"\n[database]\nhost = \"localhost\"\nname = \"n\"\nuser = \"u\"\n";
    let check = |text: &str, expected: &str| {
        check_refusal("loader.toml", &format!("{database}{text}"), expected);
    };
    check("port = \"hunter2\"\n", "database.port: expected ");
    check("sslmode = \"hunter2\"\n", "database.sslmode: must be");
    check("channel_binding = \"hunter2\"\n", "database.channel_binding: must be");
    check("require_auth = \"hunter2\"\n", "database.require_auth: must be");
    check("password = [\"hunter2\"]\n", "database.password");
    check("[kafka]\n\"sasl.pasword\" = \"hunter2\"\n", "librdkafka has no property sasl.pasword");
    let jaas = "[kafka]\nsecurity.protocol = \"SASL_SSL\"\nsasl.mechanism = \"PLAIN\"\n\
                \"sasl.jaas.config\" = 'org.apache.Login required password=\"hunter2\";'\n";
    check(jaas, "kafka: sasl.jaas.config must name org.apache.kafka");
    check("[kafka]\n\"security.protocol\" = \"hunter2\"\n", "security.protocol must be PLAINTEXT");
    check("[kafka]\n\"sasl.password\" = \"hunter2\\u0000\"\n", "zero byte");
    check_refusal("loader.toml", "database = \"postgres://u:hunter2@h/n\"\n", "database");
    check_refusal("loader.toml", &format!("listen = \"hunter2\"\n{database}"), "listen");
}

#[test]
fn another_machine_is_spoken_to_by_tls_unless_somebody_says_otherwise() {
    let mode = |variables: &[(&str, &str)]| {
        let config = read(variables).map_err(|err| err.clone())?;
        Ok::<_, String>(config.connect_options().ssl_mode)
    };
    let host = "VAULT_LOADER__DATABASE__HOST";
    for here in ["localhost", "127.0.0.1", "127.1.2.3", "::1", "/var/run/postgresql"] {
        assert_eq!(mode(&[(host, here)]), Ok(SslMode::Prefer), "{here}");
    }
    let root = ("VAULT_LOADER__DATABASE__SSLROOTCERT", "/ca.pem");
    for remote in ["dwh", "10.0.0.7", "localhost.example.com", "fe80::1"] {
        let refused = mode(&[(host, remote)]).unwrap_err();
        assert!(refused.contains("database.sslrootcert: is not set"), "{refused}");
        assert_eq!(mode(&[(host, remote), root]), Ok(SslMode::VerifyFull), "{remote}");
        let chosen = ("VAULT_LOADER__DATABASE__SSLMODE", "prefer");
        assert_eq!(mode(&[(host, remote), chosen]), Ok(SslMode::Prefer), "{remote}");
    }
}

#[test]
fn unknown_keys_and_values_out_of_range_are_named() {
    check("VAULT_LOADER__DATABASE__HOTS", "x", "hots");
    check("VAULT_LOADER__BATCH__ROWS_MAX", "0", "batch.rows_max: must be from 1");
    check("VAULT_LOADER__WRITERS", "0", "writers: must be from 1 to 64");
    check("VAULT_LOADER__WRITERS", "65", "writers: must be from 1 to 64");
    check("VAULT_LOADER__DATABASE__SSLMODE", "never", "database.sslmode: must be disable");
    check("VAULT_LOADER__DATABASE__USER", "", "database.user: must not be empty");
    assert!(read(&[]).unwrap().require_kafka().unwrap_err().to_string().contains("bootstrap"));
}
