//! TLS at the accepted connection, so that everything on the port has it. Handshakes are bounded in time and number: a
//! flood of half-open ones pushes out its own oldest, and healthy clients get in. A caller that speaks no TLS is told so
//! in its own protocol.

use std::{collections::VecDeque, future::Future, io, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
        server::WebPkiClientVerifier,
    },
    server::TlsStream,
};

use crate::limits;

/// Where the certificates of a broker lie: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Its certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// The key of its certificate.
    pub key: PathBuf,
    /// The authorities of client certificates; with it every connection needs one.
    pub client_ca: Option<PathBuf>,
}

/// Why the certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is no PEM of what it is to be.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("certificate {certificate} with key {key}: {what}")]
    Identity {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        what: String,
    },
}

/// The broker's side of TLS.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls(key not shown)")
    }
}

impl Tls {
    /// Reads the files once; new certificates need a restart.
    ///
    /// # Errors
    /// [`TlsError`] names the file.
    pub fn open(files: &TlsFiles) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&files.key)
            .map_err(|error| TlsError::File { path: files.key.clone(), what: format!("not a PEM key: {error}") })?;
        let provider = Arc::new(ring::default_provider());
        let identity = |error: rustls::Error| TlsError::Identity {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            what: error.to_string(),
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_safe_default_protocol_versions().map_err(identity)?;
        let builder = match &files.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let faulty = |what: String| TlsError::File { path: path.clone(), what };
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| faulty(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| faulty(error.to_string()))?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(identity)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Makes a connection a TLS one, within its time; or tells a caller that speaks no TLS so.
    async fn accept(self, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let mut first = [0];
        let handshake = async {
            // A TLS record begins with its kind, and the first one is a handshake, 22.
            if stream.peek(&mut first).await? == 1 && first[0] != 22 {
                refuse_plain(&mut stream, first[0]).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the caller speaks no TLS"));
            }
            self.0.accept(stream).await
        };
        let time = Duration::from_millis(limits::HANDSHAKE);
        tokio::time::timeout(time, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn certificates(path: &PathBuf) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let faulty = |what: String| TlsError::File { path: path.clone(), what };
    let read = CertificateDer::pem_file_iter(path).map_err(|error| faulty(error.to_string()))?;
    let read: Vec<_> = read.collect::<Result<_, _>>().map_err(|error| faulty(error.to_string()))?;
    if read.is_empty() { Err(faulty("it holds no PEM certificate".to_owned())) } else { Ok(read) }
}

/// An HTTP/2 caller (its preface begins with `PRI`) gets a GOAWAY that says "inadequate security", any other a page.
async fn refuse_plain(stream: &mut TcpStream, first: u8) -> io::Result<()> {
    const TEXT: &str = "this port speaks TLS: use https";
    const UNREAD: u64 = 64 << 10;
    if first == b'P' {
        // SETTINGS without any; then GOAWAY, last stream 0, INADEQUATE_SECURITY, and a text.
        let length = u8::try_from(8 + TEXT.len()).expect("a short text");
        let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
        let goaway = [0, 0, length, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12];
        stream.write_all(&[&settings[..], &goaway[..], TEXT.as_bytes()].concat()).await?;
    } else {
        let page = format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{TEXT}\n",
            TEXT.len() + 1
        );
        stream.write_all(page.as_bytes()).await?;
    }
    stream.shutdown().await?;
    // To close on what it still sends would take the text from it before it is read.
    tokio::io::copy(&mut stream.take(UNREAD), &mut tokio::io::sink()).await.map(drop)
}

/// The handshakes under way.
#[derive(Default)]
pub(super) struct Handshakes(VecDeque<AbortHandle>);

impl Handshakes {
    /// Begins one; `then` gets its connection. The oldest gives way when there are too many.
    pub(super) fn begin<Fut>(
        &mut self,
        tls: &Tls,
        stream: TcpStream,
        then: impl FnOnce(TlsStream<TcpStream>) -> Fut + Send + 'static,
    ) where
        Fut: Future<Output = ()> + Send,
    {
        self.0.retain(|handshake| !handshake.is_finished());
        if self.0.len() >= limits::HANDSHAKES
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        let tls = tls.clone();
        let handshake = tokio::spawn(async move {
            match tls.accept(stream).await {
                Ok(stream) => then(stream).await,
                Err(error) => tracing::debug!(%error, "a TLS handshake failed"),
            }
        });
        self.0.push_back(handshake.abort_handle());
    }
}

impl Drop for Handshakes {
    fn drop(&mut self) {
        self.0.iter().for_each(AbortHandle::abort);
    }
}
