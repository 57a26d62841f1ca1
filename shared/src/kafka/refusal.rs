//! Why a broker and a client will not come together, however long the client waits. Pure.
//!
//! In: an error that librdkafka reports for a whole client, and its reason. Out: what the user has to change, by the
//! names of Java's properties, or nothing when the error may pass.

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// What somebody has to change before a client can reach the brokers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The broker's certificate is not to be trusted, or names another host.
    #[error(
        "the broker's certificate is not trusted: it must come from an authority in ssl.truststore.location (ssl.truststore.certificates, \
         or the system's authorities where neither is set) and name the broker's host (ssl.endpoint.identification.algorithm): {0}"
    )]
    Certificate(String),
    /// The broker wants a certificate of ours, or another one.
    #[error(
        "the broker does not accept our certificate: check ssl.keystore.location (or ssl.keystore.key and its certificate.chain): {0}"
    )]
    OurCertificate(String),
    /// The handshake fails for another reason.
    #[error(
        "no TLS connection with the broker: check that its listener speaks TLS as security.protocol says: {0}"
    )]
    Tls(String),
    /// The broker does not offer the mechanism.
    #[error("the broker does not offer this sasl.mechanism: {0}")]
    Mechanism(String),
    /// Name or password are wrong.
    #[error(
        "the broker refuses our login: check username and password in sasl.jaas.config, and sasl.mechanism: {0}"
    )]
    Login(String),
    /// The token's endpoint refuses us.
    #[error(
        "no token for the broker: check clientId and clientSecret in sasl.jaas.config, sasl.oauthbearer.scope and \
         sasl.oauthbearer.token.endpoint.url: {0}"
    )]
    Token(String),
}

/// The errors of a token's endpoint that do not pass by themselves (RFC 6749, section 5.2).
const TOKEN_ERRORS: [&str; 6] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
];

const NO_TOKEN: &str = "Failed to acquire SASL OAUTHBEARER token";

impl Refusal {
    /// What an error of a client means; `None` when it may pass.
    #[must_use]
    pub fn of(error: &KafkaError, reason: &str) -> Option<Self> {
        let reason_text = || without_librdkafkas_names(reason);
        match error.rdkafka_error_code()? {
            RDKafkaErrorCode::SSL if reason.contains("certificate verify failed") => {
                Some(Self::Certificate(reason_text()))
            }
            // With TLS 1.3 the broker looks at our certificate when the handshake is over for us.
            RDKafkaErrorCode::SSL | RDKafkaErrorCode::BrokerTransportFailure
                if reason.contains("alert")
                    && (reason.contains("certificate") || reason.contains("unknown ca")) =>
            {
                Some(Self::OurCertificate(reason_text()))
            }
            RDKafkaErrorCode::SSL => Some(Self::Tls(reason_text())),
            RDKafkaErrorCode::Authentication if reason.contains(NO_TOKEN) => {
                let refused = TOKEN_ERRORS.iter().any(|error| reason.contains(error));
                refused.then(|| Self::Token(reason_text()))
            }
            RDKafkaErrorCode::Authentication if reason.contains("mechanism handshake failed") => {
                Some(Self::Mechanism(reason_text()))
            }
            RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed => {
                Some(Self::Login(reason_text()))
            }
            _ => None,
        }
    }
}

/// librdkafka's advice names properties that our users do not set, and stands in the reason's last part.
fn without_librdkafkas_names(reason: &str) -> String {
    let end = [": broker certificate could not", ": client SSL authentication might"]
        .iter()
        .filter_map(|advice| reason.find(advice))
        .min()
        .unwrap_or(reason.len());
    reason[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use RDKafkaErrorCode as Code;

    use super::*;

    #[track_caller]
    fn check(code: Code, reason: &str, words: Option<&str>) {
        let refusal = Refusal::of(&KafkaError::Global(code), reason);
        match (refusal, words) {
            (None, None) => {}
            (Some(refusal), Some(words)) => {
                let line = refusal.to_string();
                assert!(line.contains(words), "{line}");
                assert!(!line.contains("ssl.ca.location"), "{line}");
            }
            (refusal, words) => panic!("{reason}: {refusal:?}, not {words:?}"),
        }
    }

    #[test]
    fn a_refusal_names_the_property_that_has_to_change() {
        check(
            Code::SSL,
            "ssl://k:9093/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify failed: broker certificate \
             could not be verified, verify that ssl.ca.location is correctly configured",
            Some("ssl.truststore.location"),
        );
        check(
            Code::SSL,
            "SSL handshake failed: error:0A00045C:SSL routines::tlsv13 alert certificate required",
            Some("ssl.keystore.location"),
        );
        check(
            Code::BrokerTransportFailure,
            "ssl://k:9093/bootstrap: Receive failed: error:0A000412:SSL routines::ssl/tls alert bad certificate: SSL alert number 42",
            Some("ssl.keystore.location"),
        );
        check(
            Code::SSL,
            "SSL handshake failed: error:0A00010B:SSL routines::wrong version number",
            Some("security.protocol"),
        );
        check(
            Code::Authentication,
            "SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms: PLAIN",
            Some("sasl.mechanism"),
        );
        check(
            Code::Authentication,
            "SASL authentication error: Authentication failed: Invalid username or password",
            Some("sasl.jaas.config"),
        );
        check(
            Code::Authentication,
            "Failed to acquire SASL OAUTHBEARER token: {\"error\":\"invalid_client\"}",
            Some("clientSecret"),
        );
    }

    #[test]
    fn what_may_pass_is_no_refusal() {
        check(Code::BrokerTransportFailure, "Connection refused", None);
        check(Code::AllBrokersDown, "1/1 brokers are down", None);
        check(
            Code::Authentication,
            "Failed to acquire SASL OAUTHBEARER token: Failed to connect to idp port 443",
            None,
        );
    }
}
