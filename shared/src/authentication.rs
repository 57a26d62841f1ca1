//! Which ways of authentication a connection to PostgreSQL may use, and when a password may be sent at all.
//!
//! In: what the user allows, how safe the connection is, and what the server asks for. Out: whether to answer, and for
//! SCRAM with which channel binding. Pure. Invariant: a password, or an MD5 hash from which it can be guessed, is sent
//! only over a connection whose other end is known, unless the user names the method.

use std::str::FromStr;

/// Whether SCRAM is bound to the TLS connection; libpq's `channel_binding` and the JDBC driver's `channelBinding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// When the connection has TLS and the server offers it.
    #[default]
    Prefer,
    /// Always: a server that authenticates in another way is refused.
    Require,
}

impl FromStr for ChannelBinding {
    type Err = AuthenticationWord;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            _ => Err(AuthenticationWord("must be disable, prefer or require")),
        }
    }
}

/// A word that configuration files may not hold; the text says which may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AuthenticationWord(pub &'static str);

/// What a server can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Nothing: `trust`, `peer` or a client certificate.
    None,
    /// The password as it is.
    Password,
    /// An MD5 hash of the password.
    Md5,
    /// SCRAM-SHA-256, with or without channel binding.
    ScramSha256,
    /// GSSAPI, which this program cannot do.
    Gss,
    /// SSPI, which this program cannot do.
    Sspi,
}

impl Method {
    const ALL: [Self; 6] =
        [Self::None, Self::Password, Self::Md5, Self::ScramSha256, Self::Gss, Self::Sspi];

    /// libpq's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Password => "password",
            Self::Md5 => "md5",
            Self::ScramSha256 => "scram-sha-256",
            Self::Gss => "gss",
            Self::Sspi => "sspi",
        }
    }

    /// Whether the answer gives the password to whoever is at the other end.
    fn gives_password_away(self) -> bool {
        matches!(self, Self::Password | Self::Md5)
    }
}

/// The methods that the user allows; libpq's `require_auth` and the JDBC driver's `requireAuth`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedMethods {
    /// The user says nothing: all of them, but a password goes over a known connection only.
    #[default]
    Unsaid,
    /// These and no others, over any connection.
    Only(Vec<Method>),
    /// Any but these; a password goes over a known connection only.
    AllBut(Vec<Method>),
}

impl FromStr for AllowedMethods {
    type Err = AuthenticationWord;

    /// Words with commas between them; either all of them or none have a `!` before them.
    fn from_str(list: &str) -> Result<Self, Self::Err> {
        const WORDS: AuthenticationWord = AuthenticationWord(
            "must be a list of none, password, md5, scram-sha-256, gss, sspi, or of these with ! before each",
        );
        let words: Vec<&str> =
            list.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let negated = words.first().is_some_and(|word| word.starts_with('!'));
        let mut methods = Vec::with_capacity(words.len());
        for word in &words {
            let name = match (negated, word.strip_prefix('!')) {
                (true, Some(name)) => name,
                (false, None) => word,
                _ => return Err(WORDS),
            };
            methods.push(*Method::ALL.iter().find(|method| method.as_str() == name).ok_or(WORDS)?);
        }
        Ok(match (methods.is_empty(), negated) {
            (true, _) => Self::Unsaid,
            (false, false) => Self::Only(methods),
            (false, true) => Self::AllBut(methods),
        })
    }
}

/// Who can be at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A process of this machine: a Unix socket, or a loopback address.
    Local,
    /// The holder of a certificate that was verified.
    Verified,
    /// Anybody.
    Unknown,
}

/// What the TLS connection gives to bind SCRAM to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndPoint {
    /// There is no TLS.
    NoTls,
    /// The certificate's signature has no hash that RFC 5929 could name, as with Ed25519.
    NoHash,
    /// The hash of the server's certificate, `tls-server-end-point`.
    Hash(Vec<u8>),
}

/// What the user decides about authentication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuthenticationRules {
    /// Channel binding of SCRAM.
    pub channel_binding: ChannelBinding,
    /// Methods.
    pub allowed: AllowedMethods,
}

/// Why a server's request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The user's list leaves the method out.
    NotAllowed(Method),
    /// The answer would give the password to somebody unknown.
    GivesPasswordAway(Method),
    /// Channel binding is required and cannot be had, for this reason.
    Unbound(&'static str),
    /// The server offers channel binding on a connection that has nothing to bind to: somebody ends the TLS between.
    OfferedWithoutTls,
    /// SASL without a mechanism that this program has.
    NoMechanism,
}

/// What the properties are called that the user can change.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// The list of methods.
    pub require_auth: &'static str,
    /// Channel binding.
    pub channel_binding: &'static str,
    /// TLS mode.
    pub sslmode: &'static str,
    /// The authority's file.
    pub sslrootcert: &'static str,
}

/// The properties of a connector.
pub const READER_WORDS: Words = Words {
    require_auth: "driver.requireAuth",
    channel_binding: "driver.channelBinding",
    sslmode: "database.sslmode",
    sslrootcert: "database.sslrootcert",
};

/// The keys of the loader's configuration.
pub const LOADER_WORDS: Words = Words {
    require_auth: "database.require_auth",
    channel_binding: "database.channel_binding",
    sslmode: "database.sslmode",
    sslrootcert: "database.sslrootcert",
};

impl Refusal {
    /// What the server does, and what the user can change.
    #[must_use]
    pub fn advice(self, words: &Words) -> String {
        let Words { require_auth, channel_binding, sslmode, sslrootcert } = words;
        match self {
            Self::NotAllowed(method) => {
                let method = method.as_str();
                format!(
                    "the server authenticates by {method}, which {require_auth} does not allow; \
                     change pg_hba.conf on the server, or add {method} to {require_auth}"
                )
            }
            Self::GivesPasswordAway(method) => {
                let method = method.as_str();
                format!(
                    "the server asks for the password by {method}, and nobody has verified who it is, so the password is not sent; \
                     use scram-sha-256 in pg_hba.conf, or set {sslmode}=verify-full and {sslrootcert}, or allow it with {require_auth}={method}"
                )
            }
            Self::Unbound(why) => format!(
                "the server cannot be bound to the TLS connection, which {channel_binding}=require demands: {why}"
            ),
            Self::OfferedWithoutTls => format!(
                "the server offers SCRAM-SHA-256-PLUS on a connection without TLS, so something in between ends the TLS; \
                 set {sslmode}=require or stronger"
            ),
            Self::NoMechanism => "the server asks for SASL without SCRAM-SHA-256, and there is no other mechanism here; \
                 use scram-sha-256 in pg_hba.conf"
                .to_owned(),
        }
    }
}

/// How SCRAM begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scram {
    /// SCRAM-SHA-256-PLUS, bound to this hash.
    Bound(Vec<u8>),
    /// SCRAM-SHA-256, saying that we could bind and the server does not offer it. A server that did offer it then knows
    /// that somebody took the offer away, and refuses.
    Unoffered,
    /// SCRAM-SHA-256, saying that we cannot bind.
    Unable,
}

impl AuthenticationRules {
    /// Whether a server may authenticate us in this way.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, method: Method, peer: Peer) -> Result<(), Refusal> {
        let named = match &self.allowed {
            AllowedMethods::Unsaid => false,
            AllowedMethods::Only(methods) if methods.contains(&method) => true,
            AllowedMethods::AllBut(methods) if !methods.contains(&method) => false,
            AllowedMethods::Only(_) | AllowedMethods::AllBut(_) => {
                return Err(Refusal::NotAllowed(method));
            }
        };
        if method != Method::ScramSha256 && self.channel_binding == ChannelBinding::Require {
            return Err(Refusal::Unbound("the server does not ask for SCRAM"));
        }
        if method.gives_password_away() && peer == Peer::Unknown && !named {
            return Err(Refusal::GivesPasswordAway(method));
        }
        Ok(())
    }

    /// How to begin SCRAM, when the server offers these mechanisms.
    ///
    /// # Errors
    /// When nothing fits.
    pub fn scram(&self, mechanisms: Mechanisms, end_point: &EndPoint) -> Result<Scram, Refusal> {
        if mechanisms.plus && *end_point == EndPoint::NoTls {
            return Err(Refusal::OfferedWithoutTls);
        }
        if self.channel_binding != ChannelBinding::Disable
            && let (true, EndPoint::Hash(hash)) = (mechanisms.plus, end_point)
        {
            return Ok(Scram::Bound(hash.clone()));
        }
        if self.channel_binding == ChannelBinding::Require {
            return Err(Refusal::Unbound(match end_point {
                EndPoint::NoTls => "the connection has no TLS",
                EndPoint::NoHash => {
                    "the signature of the server's certificate has no hash to bind to (Ed25519 has none)"
                }
                EndPoint::Hash(_) => "the server does not offer SCRAM-SHA-256-PLUS",
            }));
        }
        match (mechanisms.plain, end_point, self.channel_binding) {
            (false, ..) => Err(Refusal::NoMechanism),
            (true, EndPoint::Hash(_), ChannelBinding::Prefer) => Ok(Scram::Unoffered),
            _ => Ok(Scram::Unable),
        }
    }
}

/// The SASL mechanisms of a server that this program has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Mechanisms {
    /// SCRAM-SHA-256.
    pub plain: bool,
    /// SCRAM-SHA-256-PLUS.
    pub plus: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(channel_binding: &str, allowed: &str) -> AuthenticationRules {
        AuthenticationRules {
            channel_binding: channel_binding.parse().unwrap(),
            allowed: allowed.parse().unwrap(),
        }
    }

    #[test]
    fn a_password_goes_to_a_known_peer_or_where_the_user_names_the_method() {
        for method in [Method::Password, Method::Md5] {
            for peer in [Peer::Local, Peer::Verified] {
                assert_eq!(rules("prefer", "").check(method, peer), Ok(()));
            }
            let refused = Err(Refusal::GivesPasswordAway(method));
            assert_eq!(rules("prefer", "").check(method, Peer::Unknown), refused);
            assert_eq!(rules("prefer", "!none").check(method, Peer::Unknown), refused);
            assert_eq!(rules("prefer", method.as_str()).check(method, Peer::Unknown), Ok(()));
        }
        assert_eq!(rules("prefer", "").check(Method::ScramSha256, Peer::Unknown), Ok(()));
        assert_eq!(rules("prefer", "").check(Method::None, Peer::Unknown), Ok(()));
    }

    #[test]
    fn a_list_leaves_out_what_it_does_not_name_and_a_negated_one_what_it_names() {
        let only = rules("prefer", "scram-sha-256");
        assert_eq!(only.check(Method::ScramSha256, Peer::Unknown), Ok(()));
        for method in [Method::None, Method::Md5, Method::Password] {
            assert_eq!(only.check(method, Peer::Verified), Err(Refusal::NotAllowed(method)));
        }
        let but = rules("prefer", "!password, !none");
        assert_eq!(but.check(Method::Md5, Peer::Verified), Ok(()));
        assert_eq!(but.check(Method::None, Peer::Local), Err(Refusal::NotAllowed(Method::None)));
        for list in ["scram", "md5,!password", "!md5,password"] {
            assert!(list.parse::<AllowedMethods>().is_err(), "{list}");
        }
    }

    #[test]
    fn required_binding_takes_nothing_but_bound_scram() {
        let require = rules("require", "");
        for method in [Method::None, Method::Md5, Method::Password] {
            assert!(matches!(require.check(method, Peer::Verified), Err(Refusal::Unbound(_))));
        }
        let (hash, both) = (EndPoint::Hash(vec![7]), Mechanisms { plain: true, plus: true });
        let plain = Mechanisms { plain: true, plus: false };
        assert_eq!(require.scram(both, &hash), Ok(Scram::Bound(vec![7])));
        for (mechanisms, end_point) in
            [(plain, &hash), (plain, &EndPoint::NoTls), (both, &EndPoint::NoHash)]
        {
            let outcome = require.scram(mechanisms, end_point);
            assert!(matches!(outcome, Err(Refusal::Unbound(_))), "{outcome:?}");
        }
    }

    #[test]
    fn preferred_binding_tells_the_server_what_was_offered() {
        let prefer = rules("prefer", "");
        let (hash, both) = (EndPoint::Hash(vec![7]), Mechanisms { plain: true, plus: true });
        let plain = Mechanisms { plain: true, plus: false };
        assert_eq!(prefer.scram(both, &hash), Ok(Scram::Bound(vec![7])));
        assert_eq!(prefer.scram(plain, &hash), Ok(Scram::Unoffered));
        assert_eq!(prefer.scram(both, &EndPoint::NoHash), Ok(Scram::Unable));
        assert_eq!(prefer.scram(plain, &EndPoint::NoTls), Ok(Scram::Unable));
        assert_eq!(prefer.scram(both, &EndPoint::NoTls), Err(Refusal::OfferedWithoutTls));
        assert_eq!(prefer.scram(Mechanisms::default(), &hash), Err(Refusal::NoMechanism));
        assert_eq!(rules("disable", "").scram(both, &hash), Ok(Scram::Unable));
    }
}
