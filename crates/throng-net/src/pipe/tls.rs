//! TLS 1.3 inside the pipe, without certificates: the exit shows the key of its record (RFC 7250).
//!
//! The layer of the last hop has authenticated the exit already, and hidden everything from the others, also
//! from quantum computers; this is QUIC's own encryption, so X25519 alone will do for it.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider, kx_group, sign};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, PeerIncompatible, ServerConfig,
    SignatureScheme,
};
use throng_core::{NodeId, NodeKeys};

use crate::suite::Fast;

const PROTOCOL: &[u8] = b"throng/1";
/// An Ed25519 key in PKCS#8 (RFC 8410, section 7) up to its 32 bytes.
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
/// An Ed25519 public key as SubjectPublicKeyInfo (RFC 8410, section 4) up to its 32 bytes.
const SPKI_HEAD: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::X25519],
        ..default_provider()
    })
}

fn spki(identity: NodeId) -> Vec<u8> {
    [&SPKI_HEAD[..], &identity.0].concat()
}

/// For the exit with these keys.
pub(super) fn server(keys: &NodeKeys) -> ServerConfig {
    let private = PrivatePkcs8KeyDer::from([&PKCS8_HEAD[..], keys.identity_secret()].concat());
    let signer = sign::any_eddsa_type(&private).expect("32 bytes are an Ed25519 key");
    let key = CertifiedKey::new(vec![CertificateDer::from(spki(keys.id::<Fast>()))], signer);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks TLS 1.3")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::new(key))));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // A ticket would let an exit recognise a client that comes again.
    config.send_tls13_tickets = 0;
    config
}

/// For a client that speaks to this exit.
pub(super) fn client(exit: NodeId) -> ClientConfig {
    let provider = provider();
    let verifier = ExitKey { expected: spki(exit), algorithms: provider.signature_verification_algorithms };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider speaks TLS 1.3")
        .dangerous() // rustls calls every verifier of one's own so; this one accepts one key only
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config
}

/// Accepts the key of one exit's record, and nothing else.
#[derive(Debug)]
struct ExitKey {
    expected: Vec<u8>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ExitKey {
    fn verify_server_cert(
        &self,
        key: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if key.as_ref() == self.expected {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        key: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = SubjectPublicKeyInfoDer::from(key.as_ref());
        verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
