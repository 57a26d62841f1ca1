//! Listeners with TLS and SASL beside a broker's plain one.
//!
//! In: users and their passwords, a directory. Out: lines for `server.properties`, arguments of Kafka's storage tool,
//! certificates, and what a client needs to get in.
//!
//! Invariant: who comes through the plain listener, and each user that is called a super user, may do everything; any
//! other user may do what it was granted.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::ports;
use crate::tls::{self, Purpose};

/// The principal of [`Secured::client_store`]'s certificate.
const CLIENT: &str = "CN=client";

/// Who may come in through the listeners with SASL.
#[derive(Debug, Clone, Default)]
pub struct SecuredOptions {
    users: Vec<User>,
}

#[derive(Debug, Clone)]
struct User {
    name: String,
    password: String,
    is_super: bool,
}

impl SecuredOptions {
    /// A user who may do everything.
    #[must_use]
    pub fn super_user(self, name: &str, password: &str) -> Self {
        self.with(name, password, true)
    }

    /// A user who may do nothing until it is granted.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        self.with(name, password, false)
    }

    fn with(mut self, name: &str, password: &str, is_super: bool) -> Self {
        self.users.push(User { name: name.to_owned(), password: password.to_owned(), is_super });
        self
    }

    /// The storage tool's arguments: users of SCRAM have to be there before the broker first starts.
    pub(super) fn format_arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        for User { name, password, .. } in &self.users {
            for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                arguments.push("--add-scram".to_owned());
                arguments.push(format!("{mechanism}=[name={name},password={password}]"));
            }
        }
        arguments
    }
}

/// The listeners of a running broker, all on 127.0.0.1.
#[derive(Debug, Clone)]
pub struct Secured {
    sasl: u16,
    sasl_without_tls: u16,
    stranger: u16,
    mutual: u16,
    dir: PathBuf,
}

impl Secured {
    /// Makes certificates below `dir` and chooses ports.
    pub(super) fn prepare(dir: &Path) -> anyhow::Result<Self> {
        let dir = crate::fs::make_dir(&dir.join("tls"))?;
        if !dir.join("server.pem").exists() {
            tls::generate(&dir)?;
            let stranger =
                Purpose { subject: "/CN=elsewhere", hosts: Some("DNS:elsewhere.example") };
            tls::issue(&dir, "stranger", &stranger)?;
            tls::issue(&dir, "client", &Purpose { subject: "/CN=client", hosts: None })?;
            for name in ["client", "stranger", "server"] {
                let read = |end: &str| {
                    let path = dir.join(format!("{name}.{end}"));
                    std::fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))
                };
                let store = format!("{}{}", read("key")?, read("crt")?);
                crate::fs::write(&dir.join(format!("{name}.pem")), &store)?;
            }
        }
        Ok(Self {
            sasl: ports::free_port()?,
            sasl_without_tls: ports::free_port()?,
            stranger: ports::free_port()?,
            mutual: ports::free_port()?,
            dir,
        })
    }

    /// TLS with every mechanism.
    pub fn sasl(&self) -> String {
        format!("127.0.0.1:{}", self.sasl)
    }

    /// Every mechanism without TLS.
    pub fn sasl_without_tls(&self) -> String {
        format!("127.0.0.1:{}", self.sasl_without_tls)
    }

    /// TLS with every mechanism, under a certificate for another host.
    pub fn stranger(&self) -> String {
        format!("127.0.0.1:{}", self.stranger)
    }

    /// TLS that demands a client's certificate.
    pub fn mutual(&self) -> String {
        format!("127.0.0.1:{}", self.mutual)
    }

    /// The authority that a client has to trust, a file in PEM.
    pub fn truststore(&self) -> String {
        self.dir.join("ca.crt").display().to_string()
    }

    /// A client's key and certificate, a file in PEM. Its principal is a super user.
    pub fn client_store(&self) -> String {
        self.dir.join("client.pem").display().to_string()
    }

    /// The lines that follow the plain ones in `server.properties`.
    pub(super) fn properties(
        &self,
        port: u16,
        controller: u16,
        options: &SecuredOptions,
    ) -> String {
        let mut text = format!(
            "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},\
             BARE://127.0.0.1:{bare},STRANGER://127.0.0.1:{stranger},MUTUAL://127.0.0.1:{mutual}\n\
             advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL://127.0.0.1:{sasl},\
             BARE://127.0.0.1:{bare},STRANGER://127.0.0.1:{stranger},MUTUAL://127.0.0.1:{mutual}\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_SSL,\
             BARE:SASL_PLAINTEXT,STRANGER:SASL_SSL,MUTUAL:SSL\n\
             inter.broker.listener.name=PLAINTEXT\n\
             sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n\
             ssl.truststore.type=PEM\nssl.truststore.location={ca}\n\
             ssl.keystore.type=PEM\nssl.keystore.location={server}\n\
             listener.name.stranger.ssl.keystore.type=PEM\nlistener.name.stranger.ssl.keystore.location={strangers}\n\
             listener.name.mutual.ssl.client.auth=required\n\
             authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n",
            sasl = self.sasl,
            bare = self.sasl_without_tls,
            stranger = self.stranger,
            mutual = self.mutual,
            ca = self.truststore(),
            server = self.dir.join("server.pem").display(),
            strangers = self.dir.join("stranger.pem").display(),
        );
        let mut plain =
            "org.apache.kafka.common.security.plain.PlainLoginModule required".to_owned();
        let mut super_users = format!("User:ANONYMOUS;User:{CLIENT}");
        for User { name, password, is_super } in &options.users {
            let _ = write!(plain, " user_{name}=\"{password}\"");
            if *is_super {
                let _ = write!(super_users, ";User:{name}");
            }
        }
        let _ = writeln!(text, "super.users={super_users}");
        const SCRAM: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required";
        const TOKENS: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required \
                              unsecuredLoginStringClaim_sub=\"broker\"";
        for listener in ["sasl", "bare", "stranger"] {
            for (mechanism, module) in [
                ("plain", plain.as_str()),
                ("scram-sha-256", SCRAM),
                ("scram-sha-512", SCRAM),
                ("oauthbearer", TOKENS),
            ] {
                let _ = writeln!(
                    text,
                    "listener.name.{listener}.{mechanism}.sasl.jaas.config={module};"
                );
            }
        }
        text
    }
}
