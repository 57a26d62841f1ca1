//! The hash of a server's certificate to which SCRAM is bound: `tls-server-end-point`,
//! <https://www.rfc-editor.org/rfc/rfc5929#section-4.1>.
//!
//! In: a certificate, DER. Out: its hash by the function that its own signature uses, where MD5 and SHA-1 count as
//! SHA-256. A signature without such a function, as Ed25519, has none. PostgreSQL computes the same in
//! `be_tls_get_certificate_hash`.

use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{ContextSpecific, ObjectIdentifier};
use x509_cert::der::{Decode, Encode, Reader, SliceReader, TagNumber};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// A hash function that a certificate's signature can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Signatures whose identifier names the hash: RSA (PKCS #1), ECDSA and DSA; then the hash functions themselves.
#[rustfmt::skip]
const HASHES: &[(&str, Hash)] = &[
    ("1.2.840.113549.1.1.4", Hash::Sha256), // RSA with MD5
    ("1.2.840.113549.1.1.5", Hash::Sha256), // RSA with SHA-1
    ("1.2.840.113549.1.1.14", Hash::Sha224),
    ("1.2.840.113549.1.1.11", Hash::Sha256),
    ("1.2.840.113549.1.1.12", Hash::Sha384),
    ("1.2.840.113549.1.1.13", Hash::Sha512),
    ("1.2.840.10045.4.1", Hash::Sha256), // ECDSA with SHA-1
    ("1.2.840.10045.4.3.1", Hash::Sha224),
    ("1.2.840.10045.4.3.2", Hash::Sha256),
    ("1.2.840.10045.4.3.3", Hash::Sha384),
    ("1.2.840.10045.4.3.4", Hash::Sha512),
    ("2.16.840.1.101.3.4.3.1", Hash::Sha224), // DSA
    ("2.16.840.1.101.3.4.3.2", Hash::Sha256),
    ("1.2.840.113549.2.5", Hash::Sha256), // MD5
    ("1.3.14.3.2.26", Hash::Sha256),      // SHA-1
    ("2.16.840.1.101.3.4.2.4", Hash::Sha224),
    ("2.16.840.1.101.3.4.2.1", Hash::Sha256),
    ("2.16.840.1.101.3.4.2.2", Hash::Sha384),
    ("2.16.840.1.101.3.4.2.3", Hash::Sha512),
];

/// RSASSA-PSS, whose parameters name the hash.
const RSA_PSS: &str = "1.2.840.113549.1.1.10";

/// The hash to bind to. `None` when the certificate cannot be read or its signature names no hash.
#[must_use]
pub fn end_point_hash(certificate: &[u8]) -> Option<Vec<u8>> {
    let signature = Certificate::from_der(certificate).ok()?.signature_algorithm;
    let hash = if signature.oid.to_string() == RSA_PSS {
        hash_of_pss(&signature)?
    } else {
        named(signature.oid)?
    };
    Some(match hash {
        Hash::Sha224 => Sha224::digest(certificate).to_vec(),
        Hash::Sha256 => Sha256::digest(certificate).to_vec(),
        Hash::Sha384 => Sha384::digest(certificate).to_vec(),
        Hash::Sha512 => Sha512::digest(certificate).to_vec(),
    })
}

fn named(oid: ObjectIdentifier) -> Option<Hash> {
    let oid = oid.to_string();
    HASHES.iter().find(|(known, _)| *known == oid).map(|(_, hash)| *hash)
}

/// `RSASSA-PSS-params`: a sequence whose element `[0]` is the hash's identifier; without it the hash is SHA-1.
fn hash_of_pss(signature: &AlgorithmIdentifierOwned) -> Option<Hash> {
    let parameters = signature.parameters.as_ref()?.to_der().ok()?;
    let found = SliceReader::new(&parameters)
        .ok()?
        .sequence(|inside| {
            let hash = ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(
                inside,
                TagNumber::N0,
            )?;
            let _rest = inside.read_slice(inside.remaining_len())?;
            Ok(hash.map(|hash| hash.value.oid))
        })
        .ok()?;
    match found {
        Some(oid) => named(oid),
        None => Some(Hash::Sha256),
    }
}
