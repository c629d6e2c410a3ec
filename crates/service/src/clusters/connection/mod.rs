//! How a cluster's API server is reached: where it is, how it proves itself, and how we do.
//!
//! Nothing here does IO. A kubeconfig is read by [`kubeconfig`] into a [`Connection`], which is all that is kept of
//! it; [`address`] says which addresses may be connected to at all; `fleet` makes the connections.

pub mod address;
pub mod contact;
pub mod expiry;
pub mod kubeconfig;
pub mod prober;
pub mod server;
pub mod whose;

use domain::{Error, Result, Secret};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

pub use address::AddressPolicy;
pub use contact::Contact;
pub use prober::Prober;
pub use server::{Host, Server};

/// A checked way to one API server.
#[derive(Clone, Debug)]
pub struct Connection {
    /// `https://host:port`, with a path if the API server stands behind one. Made by [`Server`].
    pub server: String,
    /// The authorities that may vouch for the API server, as PEM.
    pub ca_pem: Option<String>,
    /// How we prove who we are.
    pub credential: Credential,
    /// The name that the API server's certificate must carry, if it is not the host of `server`.
    pub tls_server_name: Option<String>,
}

/// How we prove to an API server who we are.
#[derive(Clone)]
pub enum Credential {
    /// A bearer token.
    Token(Secret),
    /// A client certificate with its key, both as PEM.
    Certificate {
        /// The certificate, with its chain if there is one.
        certificate_pem: String,
        /// The private key.
        key_pem: Secret,
    },
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Token(_) => f.write_str("Token"),
            Self::Certificate { .. } => f.write_str("Certificate"),
        }
    }
}

/// The form in which a connection is sealed. Keys that are absent stay absent, so that old blobs can be read.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    server: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ca: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_server_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Wiped>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Wiped>,
}

/// A secret on its way in or out: wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Wiped(String);

impl Drop for Wiped {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl From<&Secret> for Wiped {
    fn from(secret: &Secret) -> Self {
        Self(secret.expose().to_owned())
    }
}

impl From<Wiped> for Secret {
    fn from(mut wiped: Wiped) -> Self {
        Self::new(std::mem::take(&mut wiped.0))
    }
}

impl Connection {
    /// The bytes to seal. They hold the credential in the clear: they are wiped when dropped.
    ///
    /// # Errors
    /// `Internal` if the connection cannot be written as JSON.
    pub fn to_json_bytes(&self) -> Result<Zeroizing<Vec<u8>>> {
        let (token, certificate, key) = match &self.credential {
            Credential::Token(token) => (Some(token), None, None),
            Credential::Certificate { certificate_pem, key_pem } => {
                (None, Some(certificate_pem), Some(key_pem))
            }
        };
        let stored = Stored {
            server: self.server.clone(),
            ca: self.ca_pem.clone(),
            tls_server_name: self.tls_server_name.clone(),
            token: token.map(Wiped::from),
            certificate: certificate.cloned(),
            key: key.map(Wiped::from),
        };
        serde_json::to_vec(&stored).map(Zeroizing::new).map_err(Error::internal)
    }

    /// Reads what [`Connection::to_json_bytes`] wrote.
    ///
    /// # Errors
    /// `Internal` if the bytes are something else. The cause names a position and never the content.
    pub fn from_json_bytes(bytes: &[u8]) -> Result<Self> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| {
            Error::internal(format!("a stored connection is unreadable at column {}", error.column()))
        })?;
        let credential = match (stored.token, stored.certificate, stored.key) {
            (Some(token), None, None) => Credential::Token(token.into()),
            (None, Some(certificate_pem), Some(key)) => {
                Credential::Certificate { certificate_pem, key_pem: key.into() }
            }
            (_, _, _) => return Err(Error::internal("a stored connection has no single credential")),
        };
        Ok(Self {
            server: stored.server,
            ca_pem: stored.ca,
            credential,
            tls_server_name: stored.tls_server_name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(credential: Credential) -> Connection {
        Connection {
            server: "https://k8s.example:6443".into(),
            ca_pem: Some("CA".into()),
            credential,
            tls_server_name: None,
        }
    }

    #[test]
    fn a_connection_reads_back_what_it_wrote() {
        let token = connection(Credential::Token(Secret::new("t0ken".into())));
        let bytes = token.to_json_bytes().unwrap();
        let read = Connection::from_json_bytes(&bytes).unwrap();
        assert_eq!(read.server, token.server);
        assert_eq!(read.ca_pem, token.ca_pem);
        assert!(matches!(&read.credential, Credential::Token(t) if t.expose() == "t0ken"));

        let certificate = connection(Credential::Certificate {
            certificate_pem: "CERT".into(),
            key_pem: Secret::new("KEY".into()),
        });
        let read = Connection::from_json_bytes(&certificate.to_json_bytes().unwrap()).unwrap();
        let Credential::Certificate { certificate_pem, key_pem } = read.credential else {
            panic!("a certificate")
        };
        assert_eq!((certificate_pem.as_str(), key_pem.expose()), ("CERT", "KEY"));
    }

    #[test]
    fn secrets_are_neither_printed_nor_quoted_in_errors() {
        let certificate = Credential::Certificate {
            certificate_pem: "PUBLIC".into(),
            key_pem: Secret::new("hunter2".into()),
        };
        for credential in [certificate, Credential::Token(Secret::new("hunter2".into()))] {
            assert!(!format!("{:?}", connection(credential)).contains("hunter2"));
        }
        for bad in
            [r#"{"server":"s","token":["hunter2"]}"#, r#"{"server":"s","hunter2":1}"#, r#"{"server":"s"}"#]
        {
            let error = Connection::from_json_bytes(bad.as_bytes()).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
