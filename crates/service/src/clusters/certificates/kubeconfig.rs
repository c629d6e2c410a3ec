//! A way into a cluster for a person or a program: what kubectl and other clients read.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{Cluster, Secret};
use store::Certificate;
use zeroize::Zeroizing;

/// What somebody needs to reach a cluster by a certificate. The only time that its key is shown.
#[derive(Debug)]
pub struct Kubeconfig {
    /// What is known about the certificate from now on.
    pub certificate: Certificate,
    /// The cluster.
    pub cluster: Cluster,
    /// Where its API server is, as this server reaches it.
    pub server: String,
    /// Who vouches for the API server, as PEM.
    pub ca_pem: Option<String>,
    /// The name that the API server's certificate carries, if it is not the host of `server`.
    pub tls_server_name: Option<String>,
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// Its key, as PEM.
    pub key_pem: Secret,
}

impl Kubeconfig {
    /// The certificate as kubeconfigs hold it.
    #[must_use]
    pub fn certificate_data(&self) -> String {
        STANDARD.encode(&self.certificate_pem)
    }

    /// The key as kubeconfigs hold it.
    #[must_use]
    pub fn key_data(&self) -> Secret {
        Secret::new(STANDARD.encode(self.key_pem.expose()))
    }

    /// The cluster's authority as kubeconfigs hold it.
    #[must_use]
    pub fn authority_data(&self) -> Option<String> {
        self.ca_pem.as_ref().map(|pem| STANDARD.encode(pem))
    }

    /// All of it as the YAML that `kubectl --kubeconfig` reads.
    #[must_use]
    pub fn yaml(&self) -> Secret {
        // JSON texts are YAML as well, whatever they hold.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let cluster = quoted(&self.cluster.name);
        let user = quoted(&self.certificate.user_name);
        let context = quoted(&format!("{}@{}", self.certificate.principal, self.cluster.name));
        let more = [
            ("certificate-authority-data", self.authority_data()),
            ("tls-server-name", self.tls_server_name.clone()),
        ];
        let more: String = more
            .into_iter()
            .filter_map(|(key, value)| Some(format!("    {key}: {}\n", quoted(&value?))))
            .collect();
        let key = self.key_data();
        let head = format!(
            "apiVersion: v1\nkind: Config\npreferences: {{}}\nclusters:\n- name: {cluster}\n  cluster:\n    server: {}\n\
             {more}contexts:\n- name: {context}\n  context:\n    cluster: {cluster}\n    user: {user}\n\
             current-context: {context}\nusers:\n- name: {user}\n  user:\n    client-certificate-data: {}\n    \
             client-key-data: ",
            quoted(&self.server),
            self.certificate_data(),
        );
        // As large as it gets: a text that moves leaves a copy of the key behind.
        let mut text = Zeroizing::new(String::with_capacity(head.len() + key.expose().len() + 1));
        text.push_str(&head);
        text.push_str(key.expose());
        text.push('\n');
        Secret::new(std::mem::take(&mut *text))
    }
}

#[cfg(test)]
mod tests {
    use domain::{
        AccountId, Arrival, CertificateId, ClusterId, ConnectionState, PrincipalId, PrincipalKind, ProjectId,
        Timestamp,
    };

    use super::*;
    use crate::Credential;
    use crate::clusters::connection::kubeconfig::parse;

    fn kubeconfig(name: &str) -> Kubeconfig {
        let at = Timestamp::from_millis(0);
        let cluster = Cluster {
            id: ClusterId::stored("c"),
            account: AccountId::stored("a"),
            project: ProjectId::stored("p"),
            enterprise_project: None,
            owner: None,
            name: name.to_owned(),
            provider: String::new(),
            region: String::new(),
            labels: Default::default(),
            server: None,
            connection: ConnectionState::Connected,
            connection_reason: String::new(),
            version: String::new(),
            identified_at: None,
            arrival: Arrival::default(),
            suspended_at: None,
            created_at: at,
            updated_at: at,
        };
        let certificate = Certificate {
            id: CertificateId::stored("5e71a1"),
            account: AccountId::stored("a"),
            cluster: cluster.id.clone(),
            principal: PrincipalId::stored("ann"),
            kind: PrincipalKind::User,
            principal_name: "ann".into(),
            user_name: "ann:5e71a1".into(),
            lasting: true,
            issued_at: at,
            issued_by: PrincipalId::stored("ann"),
            source_ended: false,
            expires_at: at,
            not_after: Some(at),
            revoked_at: None,
        };
        Kubeconfig {
            certificate,
            cluster,
            server: "https://k8s.example:6443".into(),
            ca_pem: Some("-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n".into()),
            tls_server_name: Some("inside.example".into()),
            certificate_pem: include_str!("../../../tests/it/pairs/ec.pem").into(),
            key_pem: Secret::new(include_str!("../../../tests/it/pairs/ec-key.pem").into()),
        }
    }

    #[test]
    fn the_yaml_says_what_it_is_made_of_whatever_the_cluster_is_called() {
        for name in ["prod", "pr: od\\ \"#'{}", "- null", "\u{2028}ä"] {
            let made = kubeconfig(name);
            let read = parse("kubeconfig", made.yaml().expose()).unwrap();
            assert_eq!(read.server, made.server, "{name}");
            assert_eq!(
                (&read.ca_pem, &read.tls_server_name),
                (&made.ca_pem, &made.tls_server_name),
                "{name}"
            );
            let Credential::Certificate { certificate_pem, key_pem } = read.credential else {
                panic!("{name}")
            };
            assert_eq!(certificate_pem, made.certificate_pem, "{name}");
            assert_eq!(key_pem.expose(), made.key_pem.expose(), "{name}");
        }
    }

    #[test]
    fn it_is_not_printed() {
        let made = kubeconfig("prod");
        let (debug, key) = (format!("{made:?} {:?}", made.yaml()), made.key_data());
        let line = made.key_pem.expose().lines().nth(1).unwrap();
        assert!(!debug.contains(key.expose()) && !debug.contains(line), "{debug}");
    }
}
