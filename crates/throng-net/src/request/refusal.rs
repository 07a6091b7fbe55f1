//! Why a stream was not opened, in the words of the wire, of SOCKS, of HTTP and of people.

use std::fmt;

/// Why a stream was not opened. Names the rule, never the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It failed in a way that has no name here (also: a code that we do not know).
    Failed,
    /// The exit's policy does not allow this port or address.
    Policy,
    /// The name has no address.
    NameNotFound,
    /// The exit's name servers did not give a usable answer.
    NameServerFailed,
    /// The far end refused the connection.
    ConnectionRefused,
    /// The exit has no way to the host.
    HostUnreachable,
    /// The exit has no way to the host's network.
    NetworkUnreachable,
    /// Nobody answered in time.
    TimedOut,
    /// The client could not get a circuit.
    NoCircuit,
    /// The circuit broke while we waited.
    CircuitLost,
    /// The last mix of the circuit opens no connections to the outside.
    NotAnExit,
    /// A bound was reached.
    Busy,
    /// The request could not be understood.
    Malformed,
    /// The request was understood, but is not offered.
    Unsupported,
    /// The server's answer is not HTTP as we understand it. (Only a proxy says so.)
    AnswerMalformed,
    /// The server closed the connection without an answer. (Only a proxy says so.)
    NoAnswer,
}

impl Refusal {
    /// All of them, in the order of their codes (from 0).
    pub const ALL: [Self; 16] = [
        Self::Failed,
        Self::Policy,
        Self::NameNotFound,
        Self::NameServerFailed,
        Self::ConnectionRefused,
        Self::HostUnreachable,
        Self::NetworkUnreachable,
        Self::TimedOut,
        Self::NoCircuit,
        Self::CircuitLost,
        Self::NotAnExit,
        Self::Busy,
        Self::Malformed,
        Self::Unsupported,
        Self::AnswerMalformed,
        Self::NoAnswer,
    ];

    /// Whether it speaks of the exit and not of the target: another one may do.
    pub const fn is_the_exits(self) -> bool {
        matches!(self, Self::NameServerFailed | Self::NetworkUnreachable | Self::NotAnExit | Self::Busy)
    }

    /// The byte on the wire.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The refusal of a byte on the wire; an unknown one is [`Refusal::Failed`].
    pub fn from_code(code: u8) -> Self {
        Self::ALL.get(usize::from(code)).copied().unwrap_or(Self::Failed)
    }

    /// The reply field of SOCKS5 (RFC 1928 §6).
    pub const fn socks5_reply(self) -> u8 {
        match self {
            Self::Policy => 0x02,
            Self::NetworkUnreachable => 0x03,
            Self::HostUnreachable | Self::NameNotFound | Self::NameServerFailed => 0x04,
            Self::ConnectionRefused => 0x05,
            Self::TimedOut => 0x06,
            Self::Unsupported => 0x07,
            Self::Failed
            | Self::NoCircuit
            | Self::CircuitLost
            | Self::NotAnExit
            | Self::Busy
            | Self::Malformed
            | Self::AnswerMalformed
            | Self::NoAnswer => 0x01,
        }
    }

    /// The HTTP status (RFC 9110 §15).
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Policy => 403,
            Self::Unsupported => 501,
            Self::Failed
            | Self::NameNotFound
            | Self::NameServerFailed
            | Self::ConnectionRefused
            | Self::HostUnreachable
            | Self::NetworkUnreachable
            | Self::CircuitLost
            | Self::NotAnExit
            | Self::AnswerMalformed
            | Self::NoAnswer => 502,
            Self::NoCircuit | Self::Busy => 503,
            Self::TimedOut => 504,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failed => "The connection failed.",
            Self::Policy => "The exit does not open connections to this port or address.",
            Self::NameNotFound => "This name has no address.",
            Self::NameServerFailed => "The exit's name servers could not look this name up.",
            Self::ConnectionRefused => "The other side refused the connection.",
            Self::HostUnreachable => "The exit cannot reach this host.",
            Self::NetworkUnreachable => "The exit cannot reach this host's network.",
            Self::TimedOut => "Nobody answered in time.",
            Self::NoCircuit => "There is no circuit yet; try again in a moment.",
            Self::CircuitLost => "The circuit broke; try again.",
            Self::NotAnExit => "The last mix of the circuit is not an exit, or not for this port.",
            Self::Busy => "Too many connections at once; try again in a moment.",
            Self::Malformed => "The request could not be understood.",
            Self::Unsupported => "The request is of a kind that is not offered.",
            Self::AnswerMalformed => "The server's answer is not HTTP that can be understood, or too long.",
            Self::NoAnswer => "The server closed the connection without an answer.",
        })
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_code_and_sentence() {
        for (code, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(refusal.code()), code);
            assert_eq!(Refusal::from_code(refusal.code()), refusal);
            assert!(refusal.to_string().ends_with('.'));
            assert!((1..=7).contains(&refusal.socks5_reply()));
            assert!((400..=504).contains(&refusal.http_status()));
        }
        for code in Refusal::ALL.len()..=255 {
            assert_eq!(Refusal::from_code(code as u8), Refusal::Failed);
        }
    }
}
