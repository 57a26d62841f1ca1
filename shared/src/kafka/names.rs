//! The table of the properties by which Kafka's Java clients set up TLS and SASL, and what becomes of each here.

/// What becomes of a property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Treatment {
    /// It has the same effect as in Java.
    Honoured,
    /// None of its values would change anything here.
    Idle,
    /// Only these values, and the empty one, are supported. The text says why the others are not.
    Only(&'static [&'static str], &'static str),
    /// It is refused unless it is empty. The text says why.
    Refused(&'static str),
}

use Treatment::{Honoured, Idle, Only, Refused};

const NO_JAVA: &str = "there is no Java to load a class into";
const NO_KERBEROS: Treatment = Idle;
const ASSERTIONS: &str = "tokens are asked for with a client id and a client secret only";
const TLS_VERSIONS: &[&str] = &["TLSv1.3", "TLSv1.2"];

/// The table.
#[rustfmt::skip] // a property a line, to be read as a table
const NAMES: &[(&str, Treatment)] = &[
    ("security.protocol", Honoured),
    ("security.providers", Refused(NO_JAVA)),
    // SASL.
    ("sasl.mechanism", Honoured),
    ("sasl.jaas.config", Honoured),
    ("sasl.username", Honoured), // librdkafka's, for who has no JAAS line
    ("sasl.password", Honoured),
    ("sasl.client.callback.handler.class", Refused("AWS_MSK_IAM and other mechanisms of one's own are Java classes; use SCRAM-SHA-512, PLAIN or OAUTHBEARER")),
    ("sasl.login.callback.handler.class", Only(&[
        "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
        "org.apache.kafka.common.security.oauthbearer.secured.OAuthBearerLoginCallbackHandler",
    ], NO_JAVA)),
    ("sasl.login.class", Refused(NO_JAVA)),
    ("sasl.kerberos.service.name", NO_KERBEROS),
    ("sasl.kerberos.kinit.cmd", NO_KERBEROS),
    ("sasl.kerberos.ticket.renew.window.factor", NO_KERBEROS),
    ("sasl.kerberos.ticket.renew.jitter", NO_KERBEROS),
    ("sasl.kerberos.min.time.before.relogin", NO_KERBEROS),
    ("sasl.login.refresh.window.factor", Idle), // librdkafka asks for a new token after 80 % of its life
    ("sasl.login.refresh.window.jitter", Idle),
    ("sasl.login.refresh.min.period.seconds", Idle),
    ("sasl.login.refresh.buffer.seconds", Idle),
    ("sasl.login.connect.timeout.ms", Idle),
    ("sasl.login.read.timeout.ms", Idle),
    ("sasl.login.retry.backoff.ms", Idle),
    ("sasl.login.retry.backoff.max.ms", Idle),
    ("sasl.oauthbearer.token.endpoint.url", Honoured),
    ("sasl.oauthbearer.client.credentials.client.id", Honoured),
    ("sasl.oauthbearer.client.credentials.client.secret", Honoured),
    ("sasl.oauthbearer.scope", Honoured),
    ("sasl.oauthbearer.scope.claim.name", Idle),
    ("sasl.oauthbearer.sub.claim.name", Only(&["sub"], "a token names its principal in the claim sub")),
    ("sasl.oauthbearer.header.urlencode", Only(&["false"], "client id and secret are sent as they are")),
    ("sasl.oauthbearer.clock.skew.seconds", Idle), // the broker checks the token
    ("sasl.oauthbearer.expected.audience", Idle),
    ("sasl.oauthbearer.expected.issuer", Idle),
    ("sasl.oauthbearer.jwks.endpoint.url", Idle),
    ("sasl.oauthbearer.jwks.endpoint.refresh.ms", Idle),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", Idle),
    ("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", Idle),
    ("sasl.oauthbearer.jwt.retriever.class", Only(&[
        "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        "org.apache.kafka.common.security.oauthbearer.ClientCredentialsJwtRetriever",
    ], ASSERTIONS)),
    ("sasl.oauthbearer.jwt.validator.class", Idle),
    ("sasl.oauthbearer.assertion.algorithm", Idle),
    ("sasl.oauthbearer.assertion.claim.aud", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.claim.exp.seconds", Idle),
    ("sasl.oauthbearer.assertion.claim.iss", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.claim.jti.include", Idle),
    ("sasl.oauthbearer.assertion.claim.nbf.seconds", Idle),
    ("sasl.oauthbearer.assertion.claim.sub", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.file", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.private.key.file", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.private.key.passphrase", Refused(ASSERTIONS)),
    ("sasl.oauthbearer.assertion.template.file", Refused(ASSERTIONS)),
    // TLS.
    ("ssl.truststore.type", Honoured),
    ("ssl.truststore.location", Honoured),
    ("ssl.truststore.password", Idle), // certificates need none
    ("ssl.truststore.certificates", Honoured),
    ("ssl.keystore.type", Honoured),
    ("ssl.keystore.location", Honoured),
    ("ssl.keystore.password", Honoured),
    ("ssl.keystore.key", Honoured),
    ("ssl.keystore.certificate.chain", Honoured),
    ("ssl.key.password", Honoured),
    ("ssl.endpoint.identification.algorithm", Honoured),
    ("ssl.protocol", Only(TLS_VERSIONS, "TLS 1.2 and 1.3 are spoken")),
    ("ssl.enabled.protocols", Only(&["TLSv1.3", "TLSv1.2", "TLSv1.2,TLSv1.3", "TLSv1.3,TLSv1.2"], "TLS 1.2 and 1.3 are spoken")),
    ("ssl.cipher.suites", Refused("OpenSSL's own choice is in force")),
    ("ssl.provider", Refused(NO_JAVA)),
    ("ssl.engine.factory.class", Refused(NO_JAVA)),
    ("ssl.secure.random.implementation", Refused(NO_JAVA)),
    ("ssl.keymanager.algorithm", Idle),
    ("ssl.trustmanager.algorithm", Idle),
];

/// Whether a name is one of TLS or SASL, known or not.
#[must_use]
pub fn is_security(name: &str) -> bool {
    ["security.", "sasl.", "ssl."].iter().any(|start| name.starts_with(start))
}

/// What becomes of a property; `None` for a name that Kafka's clients do not know.
#[must_use]
pub fn treatment(name: &str) -> Option<Treatment> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, treatment)| *treatment)
}

/// All names in the table.
pub fn all() -> impl Iterator<Item = &'static str> {
    NAMES.iter().map(|(name, _)| *name)
}

/// Whether nobody may see the property's value.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    ["password", "secret", "passphrase", "sasl.jaas.config", "ssl.keystore.key"]
        .iter()
        .any(|ending| name.ends_with(ending))
}

/// What is wrong with a property by itself. The line begins with the property's name and does not show the value.
#[must_use]
pub fn problem(name: &str, value: &str) -> Option<String> {
    let value = value.trim();
    match treatment(name) {
        None => Some(format!("{name} is no property of Kafka's clients")),
        Some(Honoured | Idle) => None,
        Some(Only(..) | Refused(_)) if value.is_empty() => None,
        Some(Only(allowed, why)) => {
            let fits =
                allowed.iter().any(|word| word.eq_ignore_ascii_case(&value.replace(' ', "")));
            (!fits).then(|| format!("{name} must be {}: {why}", allowed.join(" or ")))
        }
        Some(Refused(why)) => Some(format!("{name} is not supported: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_one_of_tls_or_sasl_and_stands_once() {
        let names: Vec<&str> = all().collect();
        for (at, name) in names.iter().enumerate() {
            assert!(is_security(name), "{name}");
            assert!(!names[..at].contains(name), "{name} stands twice");
            assert!(!name.contains('_'), "{name} cannot be a variable of the environment");
        }
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_without_its_value() {
        for (name, value) in [
            ("sasl.jass.config", "hunter2"),
            ("ssl.cipher.suites", "hunter2"),
            ("sasl.client.callback.handler.class", "hunter2.IAMClientCallbackHandler"),
            ("sasl.login.callback.handler.class", "hunter2"),
            ("sasl.oauthbearer.header.urlencode", "true"),
            ("ssl.enabled.protocols", "TLSv1.1"),
        ] {
            let line = problem(name, value).unwrap_or_else(|| panic!("{name} is accepted"));
            assert!(line.starts_with(name) && !line.contains("hunter2"), "{line}");
        }
        assert_eq!(problem("ssl.cipher.suites", " "), None);
        assert_eq!(problem("ssl.enabled.protocols", "TLSv1.2, TLSv1.3"), None);
        assert_eq!(problem("sasl.kerberos.service.name", "kafka"), None);
    }

    #[test]
    fn secrets_are_known_by_their_names() {
        let secrets: Vec<&str> = all().filter(|name| is_secret(name)).collect();
        assert_eq!(
            secrets,
            [
                "sasl.jaas.config",
                "sasl.password",
                "sasl.oauthbearer.client.credentials.client.secret",
                "sasl.oauthbearer.assertion.private.key.passphrase",
                "ssl.truststore.password",
                "ssl.keystore.password",
                "ssl.keystore.key",
                "ssl.key.password",
            ]
        );
    }
}
