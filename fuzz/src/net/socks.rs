//! What an application says in SOCKS, in whatever pieces it comes.

use std::net::IpAddr;

use throng_core::fuzzing::Choices;

use crate::proxy::socks::{Ask, Negotiation, Standing, Version};
use crate::request::{Host, NAME_MAX_BYTES};

/// A conversation, in one piece and in others.
pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let cut = 1 + choices.below(24);
    let said = choices.rest();
    let whole = converse(said.chunks(said.len().max(1)));
    assert_eq!(converse(said.chunks(cut)), whole, "the pieces do not matter");
    let (out, progress, early) = whole;
    assert!(out.len() <= 64, "what is answered is short");
    assert!(said.ends_with(&early), "what comes behind a request is left for whom it is for");
    let Standing::Complete(asked) = progress else { return };
    let host = match &asked.ask {
        Ask::Connect(target) => {
            assert_ne!(target.port, 0, "nobody listens at port 0");
            &target.host
        }
        Ask::Resolve(host) => host,
    };
    if let Host::Name(name) = host {
        assert!(name.reveal().len() <= NAME_MAX_BYTES && name.reveal().parse::<IpAddr>().is_err());
        assert!(name.reveal().bytes().all(|byte| byte.is_ascii_graphic()), "a name is plain");
    }
    assert!(matches!(asked.version, Version::Four) == (said[0] == 4));
}

fn converse<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, Standing, Vec<u8>) {
    let (mut negotiation, mut out, mut progress) = (Negotiation::new(), Vec::new(), Standing::More);
    let mut pieces = pieces.into_iter();
    for piece in pieces.by_ref() {
        progress = negotiation.push(piece, &mut out);
        if progress != Standing::More {
            break;
        }
    }
    let early = match progress {
        Standing::Complete(_) => [negotiation.early(), pieces.collect::<Vec<_>>().concat()].concat(),
        _ => Vec::new(),
    };
    (out, progress, early)
}
