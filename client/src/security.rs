//! How a client shows who it is and whom it trusts: TLS files and the bearer token. Connecting is `client`'s.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
    transport::{Certificate, ClientTlsConfig, Endpoint, Identity},
};

use crate::Error;

/// What a connection is made with; PEM texts.
#[derive(Clone, Default)]
pub(crate) struct Security {
    pub(crate) ca: Option<String>,
    pub(crate) identity: Option<(String, String)>,
    pub(crate) token: Option<String>,
}

impl std::fmt::Debug for Security {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Security(not shown)")
    }
}

impl Security {
    /// The endpoint with TLS, when its address or the files ask for it.
    pub(crate) fn secured(&self, endpoint: Endpoint) -> Result<Endpoint, Error> {
        let https = endpoint.uri().scheme_str() == Some("https");
        if !https {
            return match (&self.ca, &self.identity) {
                (None, None) => Ok(endpoint),
                _ => Err(Error::Protocol("certificates are for https: write the endpoint as https://host:port".into())),
            };
        }
        let Some(ca) = &self.ca else {
            return Err(Error::Protocol("an https endpoint needs the authority to trust: --tls-ca".into()));
        };
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, key));
        }
        endpoint.tls_config(tls).map_err(|error| {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            Error::Protocol(format!("the TLS certificates cannot be used: {error}{cause}"))
        })
    }

    /// What puts the token on each call.
    pub(crate) fn bearer(&self) -> Result<Bearer, Error> {
        let value = self.token.as_ref().map(|token| format!("Bearer {token}").parse());
        let mut value: Option<MetadataValue<Ascii>> = value
            .transpose()
            .map_err(|_| Error::Protocol("the token has characters that no header can carry".into()))?;
        if let Some(value) = &mut value {
            value.set_sensitive(true);
        }
        Ok(Bearer(value))
    }
}

/// Puts the token on each call, where there is one.
#[derive(Clone, Debug)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// The value of its header.
    pub(crate) fn value(&self) -> Option<String> {
        self.0.as_ref().and_then(|value| value.to_str().ok()).map(str::to_owned)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// What a failed connection most likely means, where the two sides do not agree about TLS.
pub(crate) fn hint(message: String) -> String {
    if message.contains("minimum security requirements") {
        format!("{message}; the broker there speaks TLS: write https:// and say --tls-ca")
    } else if message.contains("InvalidContentType") {
        format!("{message}; the broker there speaks no TLS: write http://")
    } else {
        message
    }
}
