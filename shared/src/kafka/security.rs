//! TLS and SASL of a Kafka client, from the properties of Kafka's Java clients.
//!
//! In: Java's names and values. Out: the same in librdkafka's words, or a line for each problem. Where Java reads a
//! keystore of its own format, OpenSSL reads PEM, or PKCS#12 for the client's own certificate.
//!
//! Invariant: no line shows a value that may be a secret.

use std::collections::BTreeMap;
use std::path::Path;

use super::jaas::{self, LoginModule};
use super::names;
use super::pem::{self, Block, StoreKind};
use super::properties::Properties;
use crate::secret::Secret;

/// A store that is larger than this is none.
const STORE_BYTES_MAX: u64 = 16 << 20;

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// `PLAIN`.
    Plain,
    /// `SCRAM-SHA-256`.
    ScramSha256,
    /// `SCRAM-SHA-512`.
    ScramSha512,
    /// `OAUTHBEARER`, with tokens for a client id and a client secret.
    OauthBearer,
}

impl Mechanism {
    const ALL: [Self; 4] = [Self::Plain, Self::ScramSha256, Self::ScramSha512, Self::OauthBearer];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
            Self::OauthBearer => "OAUTHBEARER",
        }
    }

    /// The class that `sasl.jaas.config` names.
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "org.apache.kafka.common.security.plain.PlainLoginModule",
            Self::ScramSha256 | Self::ScramSha512 => {
                "org.apache.kafka.common.security.scram.ScramLoginModule"
            }
            Self::OauthBearer => {
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule"
            }
        }
    }
}

/// TLS and SASL of a client. The default is neither.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// In librdkafka's words.
    native: Vec<(&'static str, Secret)>,
    mechanism: Option<Mechanism>,
    warnings: Vec<String>,
}

impl Security {
    /// Reads the properties. Those that are not of TLS or SASL are left alone. Files are looked at.
    ///
    /// # Errors
    /// A line for each problem. It begins with the name of a property.
    pub fn read(properties: &Properties) -> Result<Self, Vec<String>> {
        let given: BTreeMap<&str, &str> = properties
            .iter()
            .filter(|(name, _)| names::is_security(name))
            .map(|(name, value)| (name, value.expose()))
            .collect();
        let mut reader = Reader { given, security: Self::default(), problems: Vec::new() };
        reader.read();
        if reader.problems.is_empty() { Ok(reader.security) } else { Err(reader.problems) }
    }

    /// librdkafka's names and values.
    pub fn native(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.native.iter().map(|(name, value)| (*name, value.expose()))
    }

    /// How the client proves who it is; `None` without SASL.
    #[must_use]
    pub fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism
    }

    /// What is set and has no effect, a line each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

struct Reader<'a> {
    given: BTreeMap<&'a str, &'a str>,
    security: Security,
    problems: Vec<String>,
}

impl<'a> Reader<'a> {
    fn read(&mut self) {
        for (name, value) in &self.given {
            self.problems.extend(names::problem(name, value));
            if value.contains('\0') {
                self.problems.push(format!("{name} holds a zero byte"));
            }
        }
        let protocol = self.text("security.protocol").unwrap_or("PLAINTEXT").to_ascii_uppercase();
        let (tls, sasl) = match protocol.as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => {
                let line = "security.protocol must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";
                return self.problem(line);
            }
        };
        if tls || sasl {
            self.set("security.protocol", protocol.to_ascii_lowercase());
        }
        if tls {
            self.trust();
            self.identity();
            self.endpoint();
        }
        if sasl {
            self.login();
        }
        for (start, used) in [("ssl.truststore.", tls), ("ssl.keystore.", tls), ("sasl.jaas", sasl)]
        {
            let unused = self.given.keys().find(|name| !used && name.starts_with(start));
            if let Some(name) = unused {
                let line = format!("{name} has no effect with security.protocol={protocol}");
                self.security.warnings.push(line);
            }
        }
    }

    /// The value, if it is not empty.
    fn text(&self, name: &str) -> Option<&'a str> {
        self.given.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.security.native.push((name, Secret::new(value)));
    }

    fn problem(&mut self, line: impl Into<String>) {
        self.problems.push(line.into());
    }

    /// Whom to trust: a file, certificates in the configuration, else the system's authorities.
    fn trust(&mut self) {
        self.store_type("ssl.truststore.type");
        match (self.text("ssl.truststore.location"), self.text("ssl.truststore.certificates")) {
            (None, None) => self.set("ssl.ca.location", "probe"),
            (Some(_), Some(_)) => self.problem(
                "ssl.truststore.location and ssl.truststore.certificates cannot both be given",
            ),
            (None, Some(text)) => match certificates(text) {
                Some(pem) => self.set("ssl.ca.pem", pem),
                None => self.problem("ssl.truststore.certificates holds no certificate in PEM"),
            },
            (Some(path), None) => {
                if self.is_truststore("ssl.truststore.location", path) {
                    self.set("ssl.ca.location", path);
                }
            }
        }
    }

    /// Whether a file holds certificates in PEM; if not, the remedy is reported.
    fn is_truststore(&mut self, name: &str, path: &str) -> bool {
        let Some((kind, content)) = self.store(name, path) else { return false };
        let remedy = match kind {
            StoreKind::Pem if certificates(&String::from_utf8_lossy(&content)).is_some() => {
                return true;
            }
            StoreKind::Pem => format!("{name} names {path}, which holds no certificate"),
            StoreKind::Jks => format!(
                "{name} names a keystore of Java ({path}), which only Java reads: make a PEM file with \
                 `keytool -list -rfc -keystore {path} > truststore.pem` and name that one"
            ),
            StoreKind::Pkcs12 => format!(
                "{name} names a PKCS#12 file ({path}), from which no authorities are read: make a PEM file with \
                 `openssl pkcs12 -in {path} -nokeys -out truststore.pem` and name that one"
            ),
        };
        self.problem(remedy);
        false
    }

    /// The client's own certificate and key, if any.
    fn identity(&mut self) {
        self.store_type("ssl.keystore.type");
        let location = self.text("ssl.keystore.location");
        let key = self.text("ssl.keystore.key");
        let chain = self.text("ssl.keystore.certificate.chain");
        match (location, key, chain) {
            (None, None, None) => {}
            (Some(path), None, None) => self.keystore(path),
            (None, Some(key), Some(chain)) => self.keystore_values(key, chain),
            (None, ..) => self.problem(
                "ssl.keystore.key and ssl.keystore.certificate.chain must be given together",
            ),
            (Some(_), ..) => self.problem(
                "ssl.keystore.location cannot be given together with ssl.keystore.key and ssl.keystore.certificate.chain",
            ),
        }
    }

    fn keystore_values(&mut self, key: &str, chain: &str) {
        let key = pem::blocks(key).into_iter().find(Block::is_key);
        match (key, certificates(chain)) {
            (Some(key), Some(chain)) => {
                self.key_password(&key);
                self.set("ssl.key.pem", key.text);
                self.set("ssl.certificate.pem", chain);
            }
            (None, _) => self.problem("ssl.keystore.key holds no private key in PEM"),
            (_, None) => {
                self.problem("ssl.keystore.certificate.chain holds no certificate in PEM");
            }
        }
    }

    fn keystore(&mut self, path: &str) {
        const NAME: &str = "ssl.keystore.location";
        let Some((kind, content)) = self.store(NAME, path) else { return };
        match kind {
            StoreKind::Jks => self.problem(format!(
                "{NAME} names a keystore of Java ({path}), which only Java reads: make a PKCS#12 file with \
                 `keytool -importkeystore -srckeystore {path} -destkeystore keystore.p12 -deststoretype PKCS12` and name that one"
            )),
            StoreKind::Pkcs12 => match self.text("ssl.keystore.password") {
                None => self.problem(format!("ssl.keystore.password is required to read {path}")),
                Some(password) => {
                    self.set("ssl.keystore.location", path);
                    self.set("ssl.keystore.password", password);
                }
            },
            StoreKind::Pem => {
                let blocks = pem::blocks(&String::from_utf8_lossy(&content));
                let key = blocks.iter().find(|block| block.is_key());
                match (key, blocks.iter().any(Block::is_certificate)) {
                    (Some(key), true) => {
                        self.key_password(key);
                        self.set("ssl.certificate.location", path);
                        self.set("ssl.key.location", path);
                    }
                    _ => self.problem(format!(
                        "{NAME} names {path}, which must hold both a private key and its certificates in PEM"
                    )),
                }
            }
        }
    }

    fn key_password(&mut self, key: &Block) {
        match self.text("ssl.key.password") {
            Some(password) => self.set("ssl.key.password", password),
            None if key.is_encrypted() => {
                self.problem("ssl.key.password is required: the private key is encrypted");
            }
            None => {}
        }
    }

    fn store_type(&mut self, name: &str) {
        let known = ["PEM", "PKCS12", "JKS"];
        let Some(kind) = self.text(name) else { return };
        if !known.iter().any(|word| word.eq_ignore_ascii_case(kind)) {
            self.problem(format!("{name} must be PEM, PKCS12 or JKS"));
        }
    }

    /// What the file is, and its content. What it is shows its content, as it does in Java, which reads PKCS#12 files
    /// under the type JKS, too.
    fn store(&mut self, name: &str, path: &str) -> Option<(StoreKind, Vec<u8>)> {
        let read = || -> std::io::Result<Vec<u8>> {
            let size = std::fs::metadata(path)?.len();
            if size > STORE_BYTES_MAX {
                return Err(std::io::ErrorKind::FileTooLarge.into());
            }
            std::fs::read(Path::new(path))
        };
        match read() {
            Err(error) => {
                self.problem(format!("{name} names {path}, which cannot be read: {error}"));
                None
            }
            Ok(content) => {
                let kind = pem::kind(&content);
                if kind.is_none() {
                    let what = "which is neither PEM nor a keystore";
                    self.problem(format!("{name} names {path}, {what}"));
                }
                kind.map(|kind| (kind, content))
            }
        }
    }

    /// Whether the broker's certificate must name its host. Only an empty value says no.
    fn endpoint(&mut self) {
        const NAME: &str = "ssl.endpoint.identification.algorithm";
        let given = self.given.get(NAME).map(|value| value.trim().to_ascii_lowercase());
        match given.as_deref() {
            None | Some("https") => self.set(NAME, "https"),
            Some("" | "none") => self.set(NAME, "none"), // none is librdkafka's word
            Some(_) => self.problem(format!(
                "{NAME} must be https, or empty where a certificate may name another host"
            )),
        }
    }

    fn login(&mut self) {
        let names = Mechanism::ALL.map(Mechanism::name).join(", ");
        let Some(name) = self.text("sasl.mechanism") else {
            return self.problem(format!(
                "sasl.mechanism is required: Java's default, GSSAPI, is not supported; there are {names}"
            ));
        };
        let known =
            Mechanism::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name));
        let Some(mechanism) = known else {
            return self.problem(format!("sasl.mechanism must be one of {names}"));
        };
        self.security.mechanism = Some(mechanism);
        self.set("sasl.mechanism", mechanism.name());
        let module = match self.text("sasl.jaas.config").map(jaas::parse) {
            None => None,
            Some(Err(error)) => {
                return self.problem(format!("sasl.jaas.config cannot be read: {error}"));
            }
            Some(Ok(module)) => Some(module),
        };
        let fits =
            |module: &LoginModule| mechanism.class().ends_with(&format!(".{}", module.class));
        if module.as_ref().is_some_and(|module| !fits(module)) {
            return self.problem(format!(
                "sasl.jaas.config must name {} for sasl.mechanism={}",
                mechanism.class(),
                mechanism.name()
            ));
        }
        match mechanism {
            Mechanism::OauthBearer => self.token(module.as_ref()),
            _ => self.password(mechanism, module.as_ref()),
        }
    }

    fn password(&mut self, mechanism: Mechanism, module: Option<&LoginModule>) {
        for (name, option) in [("sasl.username", "username"), ("sasl.password", "password")] {
            let written = module.and_then(|module| module.option(option));
            let value = written.map(Secret::expose).or_else(|| self.text(name));
            match value.filter(|value| !value.is_empty()) {
                Some(value) => self.set(name, value.to_owned()),
                None => self.problem(format!(
                    "sasl.jaas.config must give {option}: {} required username=\"…\" password=\"…\";",
                    mechanism.class()
                )),
            }
        }
    }

    /// A token for a client id and a client secret. Java takes them as options of the login module or, since version
    /// 4.1, as properties.
    fn token(&mut self, module: Option<&LoginModule>) {
        let option = |names: &[&str]| {
            let given = |name: &&str| module.and_then(|module| module.option(name));
            names.iter().find_map(given).map(Secret::expose).filter(|value| !value.is_empty())
        };
        self.set("sasl.oauthbearer.method", "oidc");
        match self.text("sasl.oauthbearer.token.endpoint.url") {
            Some(url) => self.set("sasl.oauthbearer.token.endpoint.url", url),
            None => self.problem("sasl.oauthbearer.token.endpoint.url is required"),
        }
        let id = self.text("sasl.oauthbearer.client.credentials.client.id");
        let secret = self.text("sasl.oauthbearer.client.credentials.client.secret");
        for (native, value, name) in [
            ("sasl.oauthbearer.client.id", id.or_else(|| option(&["clientId"])), "clientId"),
            (
                "sasl.oauthbearer.client.secret",
                secret.or_else(|| option(&["clientSecret"])),
                "clientSecret",
            ),
        ] {
            match value {
                Some(value) => self.set(native, value.to_owned()),
                None => self.problem(format!(
                    "sasl.jaas.config must give {name}: {} required clientId=\"…\" clientSecret=\"…\";",
                    Mechanism::OauthBearer.class()
                )),
            }
        }
        if let Some(scope) = self.text("sasl.oauthbearer.scope").or_else(|| option(&["scope"])) {
            self.set("sasl.oauthbearer.scope", scope.to_owned());
        }
        self.extensions(module);
        self.token_trust(&option);
    }

    /// `extension_logicalCluster="…"` and others, which the broker gets beside the token.
    fn extensions(&mut self, module: Option<&LoginModule>) {
        let mut pairs = Vec::new();
        for (name, value) in module.into_iter().flat_map(LoginModule::options) {
            let Some(name) = name.strip_prefix("extension_") else { continue };
            if value.expose().contains(',') {
                return self.problem(format!(
                    "sasl.jaas.config gives extension_{name} a value with a comma, which cannot be sent"
                ));
            }
            pairs.push(format!("{name}={}", value.expose()));
        }
        if !pairs.is_empty() {
            self.set("sasl.oauthbearer.extensions", pairs.join(","));
        }
    }

    /// Whom to trust at the token's endpoint: what the login module's options say, else the system's authorities.
    fn token_trust<'m>(&mut self, option: &dyn Fn(&[&str]) -> Option<&'m str>) {
        if let Some(path) = option(&["ssl.truststore.location"]) {
            if self.is_truststore("sasl.jaas.config: ssl.truststore.location", path) {
                self.set("https.ca.location", path);
            }
        } else if let Some(text) = option(&["ssl.truststore.certificates"]) {
            match certificates(text) {
                Some(pem) => self.set("https.ca.pem", pem),
                None => self.problem(
                    "sasl.jaas.config: ssl.truststore.certificates holds no certificate in PEM",
                ),
            }
        } else {
            self.set("https.ca.location", "probe");
        }
    }
}

/// The certificates of a text; `None` when there are none.
fn certificates(text: &str) -> Option<String> {
    let blocks = pem::blocks(text);
    let texts: Vec<String> =
        blocks.into_iter().filter(Block::is_certificate).map(|block| block.text).collect();
    (!texts.is_empty()).then(|| texts.concat())
}

#[cfg(test)]
mod tests;
