//! Proving who we are to the server, and letting the server prove who it is.
//!
//! In: the server's authentication requests. Out: answers, until the server accepts. What may be answered is decided in
//! [`shared::authentication`]. Invariant: after a SCRAM exchange has begun, nothing but the server's own proof ends it,
//! so a server that does not know the password is never taken for ours.
//!
//! <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP>

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;
use shared::authentication::{EndPoint, Mechanisms, Method, Peer, Refusal, Scram};
use shared::postgres::ConnectOptions;

use super::wire::Wire;
use super::{ReplicationError, ServerError, WaitLimit};

/// Answers the server's requests until it accepts.
pub(super) fn run(
    wire: &mut Wire,
    options: &ConnectOptions,
    limit: &WaitLimit,
) -> Result<(), ReplicationError> {
    let mut exchange = Exchange {
        options,
        peer: wire.transport().peer(options)?,
        end_point: wire.transport().end_point(),
        state: State::Nothing,
    };
    loop {
        let frame = wire.frame(limit).map_err(|error| match error {
            // A server that cannot start a process for the connection says so in plain text, without a length.
            ReplicationError::Protocol(_) => {
                ReplicationError::NotServed { address: options.display() }
            }
            other => other,
        })?;
        let body = wire.body(&frame);
        let step = match frame.tag {
            b'E' => return Err(exchange.refused_by_server(ServerError::decode(body))),
            b'N' => Step::Wait,
            b'R' => exchange.step(body)?,
            _ => return Err(ReplicationError::Protocol("no authentication request")),
        };
        match step {
            Step::Send(answer) => wire.send(&answer)?,
            Step::Wait => {}
            Step::Done => return Ok(()),
        }
    }
}

/// What to do after a request.
enum Step {
    Send(BytesMut),
    Wait,
    Done,
}

/// How far it has come.
enum State {
    /// The server has asked for nothing.
    Nothing,
    /// The password, or a hash of it, was sent.
    PasswordSent,
    /// SCRAM is under way.
    Scram(Box<ScramSha256>),
    /// The server has proved by SCRAM that it knows the password.
    Proven,
}

struct Exchange<'a> {
    options: &'a ConnectOptions,
    peer: Peer,
    end_point: EndPoint,
    state: State,
}

impl Exchange<'_> {
    fn step(&mut self, body: &[u8]) -> Result<Step, ReplicationError> {
        let (code, rest) = body
            .split_first_chunk::<4>()
            .ok_or(ReplicationError::Protocol("an authentication request without a code"))?;
        match u32::from_be_bytes(*code) {
            0 => self.accepted(),
            3 => self.password(),
            5 => self.md5(rest),
            10 => self.begin_scram(rest),
            11 => self.continue_scram(rest),
            12 => self.finish_scram(rest),
            7..=9 => Err(ReplicationError::Authentication("Kerberos or GSSAPI")),
            _ => Err(ReplicationError::Authentication("a method that this build does not know")),
        }
    }

    /// AuthenticationOk.
    fn accepted(&mut self) -> Result<Step, ReplicationError> {
        match self.state {
            State::Nothing => {
                self.check(Method::None)?;
                Ok(Step::Done)
            }
            State::PasswordSent | State::Proven => Ok(Step::Done),
            State::Scram(_) => Err(self.unproven("it ended SCRAM before its own proof")),
        }
    }

    fn password(&mut self) -> Result<Step, ReplicationError> {
        self.begin(Method::Password)?;
        let mut answer = BytesMut::new();
        frontend::password_message(self.secret()?, &mut answer)?;
        self.state = State::PasswordSent;
        Ok(Step::Send(answer))
    }

    fn md5(&mut self, body: &[u8]) -> Result<Step, ReplicationError> {
        self.begin(Method::Md5)?;
        let salt = body
            .first_chunk::<4>()
            .ok_or(ReplicationError::Protocol("an md5 request without salt"))?;
        let hash = md5_hash(self.options.user.as_bytes(), self.secret()?, *salt);
        let mut answer = BytesMut::new();
        frontend::password_message(hash.as_bytes(), &mut answer)?;
        self.state = State::PasswordSent;
        Ok(Step::Send(answer))
    }

    fn begin_scram(&mut self, body: &[u8]) -> Result<Step, ReplicationError> {
        self.begin(Method::ScramSha256)?;
        let offers = |wanted: &str| body.split(|&b| b == 0).any(|name| name == wanted.as_bytes());
        let mechanisms =
            Mechanisms { plain: offers(SCRAM_SHA_256), plus: offers(SCRAM_SHA_256_PLUS) };
        let begun = self.options.authentication.scram(mechanisms, &self.end_point);
        let (mechanism, binding) = match begun.map_err(|refusal| self.refuse(refusal))? {
            Scram::Bound(hash) => (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash)),
            Scram::Unoffered => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            Scram::Unable => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        let scram = ScramSha256::new(self.secret()?, binding);
        let mut answer = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut answer)?;
        self.state = State::Scram(Box::new(scram));
        Ok(Step::Send(answer))
    }

    fn continue_scram(&mut self, body: &[u8]) -> Result<Step, ReplicationError> {
        let scram = self.under_way()?;
        if let Err(error) = scram.update(body) {
            return Err(self.unproven(&error.to_string()));
        }
        let mut answer = BytesMut::new();
        frontend::sasl_response(scram.message(), &mut answer)?;
        Ok(Step::Send(answer))
    }

    fn finish_scram(&mut self, body: &[u8]) -> Result<Step, ReplicationError> {
        if let Err(error) = self.under_way()?.finish(body) {
            return Err(self.unproven(&error.to_string()));
        }
        self.state = State::Proven;
        Ok(Step::Wait)
    }

    fn under_way(&mut self) -> Result<&mut ScramSha256, ReplicationError> {
        match &mut self.state {
            State::Scram(scram) => Ok(scram),
            _ => Err(ReplicationError::Protocol("a SASL message before SASL began")),
        }
    }

    /// A method begins: once, and only if it may.
    fn begin(&self, method: Method) -> Result<(), ReplicationError> {
        if !matches!(self.state, State::Nothing) {
            return Err(ReplicationError::Protocol("a second authentication request"));
        }
        self.check(method)
    }

    fn check(&self, method: Method) -> Result<(), ReplicationError> {
        let rules = &self.options.authentication;
        rules.check(method, self.peer).map_err(|refusal| self.refuse(refusal))
    }

    fn refuse(&self, refusal: Refusal) -> ReplicationError {
        ReplicationError::Refused { address: self.options.display(), refusal }
    }

    fn unproven(&self, why: &str) -> ReplicationError {
        ReplicationError::Unproven { address: self.options.display(), why: why.to_owned() }
    }

    /// Keeps a refusal in the middle of an exchange apart from a refusal of the connection: after the latter, libpq's
    /// modes `prefer` and `allow` try again with other security, and after the former this would only help somebody who
    /// stands between.
    fn refused_by_server(&self, error: ServerError) -> ReplicationError {
        match self.state {
            State::Nothing => ReplicationError::Server(error),
            _ => ReplicationError::Rejected(error),
        }
    }

    fn secret(&self) -> Result<&[u8], ReplicationError> {
        let options = self.options;
        if options.password.is_empty() {
            // libpq reports this too. The code is the one that the server uses for a wrong password.
            return Err(ReplicationError::Server(ServerError {
                code: "28P01".to_owned(),
                message: format!(
                    "role {:?} needs a password and database.password gives none",
                    options.user
                ),
                detail: None,
                hint: None,
            }));
        }
        Ok(options.password.expose().as_bytes())
    }
}
