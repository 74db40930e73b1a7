//! A bucket of an S3-like store as a place for an output. Each file is put by one request that fails where its name is taken; the
//! manifest is one object, put anew as a whole under the condition that it is what it was last seen to be (`lines`). Nothing
//! is locked: a store that refuses such writes when their condition does not hold keeps every other run out by itself.

mod lines;
#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, mpsc};
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, Error, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload, RetryConfig, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::{Begin, Draft, Growing, Held, Store};
use crate::sink::SinkError;

/// For how long a store that does not answer is asked again, as a broker is.
const PATIENCE: Duration = Duration::from_secs(60);
/// One request may take so long: a file of the largest size over a slow line.
const REQUEST: Duration = Duration::from_secs(600);

/// The store is asked here, wherever its caller waits: also from within another runtime.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("objects").enable_all();
    builder.build().expect("a thread can be started")
});

/// Asks the store, and waits for its answer.
fn wait<T: Send + 'static>(asked: impl Future<Output = T> + Send + 'static) -> T {
    let (tell, told) = mpsc::sync_channel(1);
    RUNTIME.spawn(async move {
        // It is always waited for.
        let _ = tell.send(asked.await);
    });
    told.recv().expect("the store's client does not panic, and its runtime lives as long as the process")
}

/// What a store said, as the system would say it of a disk.
fn fault(error: &Error) -> io::Error {
    let kind = if matches!(error, Error::NotFound { .. }) {
        io::ErrorKind::NotFound
    } else if matches!(error, Error::AlreadyExists { .. }) {
        io::ErrorKind::AlreadyExists
    } else if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
        io::ErrorKind::PermissionDenied
    } else {
        io::ErrorKind::Other
    };
    io::Error::new(kind, error.to_string())
}

/// A place in a bucket.
#[derive(Debug, Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    out: PathBuf,
}

/// The place of a bucket, as the environment says how to reach it. One client a place and process.
///
/// # Errors
/// What the environment lacks.
pub(super) fn open(out: &Path, bucket: &str, prefix: &str) -> Result<Arc<dyn Store>, String> {
    static OPEN: Mutex<BTreeMap<PathBuf, Arc<Objects>>> = Mutex::new(BTreeMap::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(objects) = open.get(out) {
        return Ok(Arc::<Objects>::clone(objects));
    }
    let objects = Arc::new(Objects::new(connect(bucket)?, prefix, out));
    open.insert(out.to_owned(), Arc::clone(&objects));
    Ok(objects)
}

fn connect(bucket: &str) -> Result<Arc<dyn ObjectStore>, String> {
    // It fails where this process has chosen already, and there is one choice.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| std::env::var(name).ok());
    let plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let retry = RetryConfig { retry_timeout: PATIENCE, ..RetryConfig::default() };
    let client = ClientOptions::new().with_timeout(REQUEST).with_connect_timeout(Duration::from_secs(5));
    let builder = AmazonS3Builder::from_env().with_client_options(client).with_allow_http(plain).with_retry(retry);
    // Not every store knows how to delete many at once.
    let builder = builder.with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
    let store = builder.with_bucket_name(bucket).build();
    store.map(|store| Arc::new(store) as _).map_err(|error| format!("the store cannot be reached: {error}"))
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>, prefix: &str, out: &Path) -> Self {
        Self { store, prefix: prefix.to_owned(), out: out.to_owned() }
    }

    fn at(&self, action: &'static str, file: &str) -> impl FnOnce(Error) -> SinkError + use<> {
        let path = self.path(file);
        move |error| SinkError::at(action, &path)(fault(&error))
    }

    fn key(&self, file: &str) -> Result<Key, SinkError> {
        let whole = format!("{}/{file}", self.prefix);
        Key::parse(whole.trim_start_matches('/')).map_err(|error| self.at("name", file)(error.into()))
    }

    fn put(&self, file: &str, bytes: Bytes, mode: PutMode) -> Result<Result<UpdateVersion, Error>, SinkError> {
        let (store, key) = (Arc::clone(&self.store), self.key(file)?);
        Ok(wait(async move {
            let put = store.put_opts(&key, PutPayload::from_bytes(bytes), mode.into()).await;
            put.map(UpdateVersion::from)
        }))
    }

    /// Puts a file whose name must be free. Where it is taken by these very bytes they are ours: the answer to an
    /// earlier try was lost.
    fn put_new(&self, file: &str, bytes: &Bytes) -> Result<(), SinkError> {
        match self.put(file, bytes.clone(), PutMode::Create)? {
            Ok(_) => Ok(()),
            Err(Error::AlreadyExists { .. }) if self.read(file)?.is_some_and(|there| there == *bytes) => Ok(()),
            Err(error) => Err(self.at("create", file)(error)),
        }
    }

    /// A file's bytes, and what they are called in a condition.
    fn read_version(&self, file: &str) -> Result<Option<(Vec<u8>, UpdateVersion)>, SinkError> {
        let (store, key) = (Arc::clone(&self.store), self.key(file)?);
        let read = wait(async move {
            let got = store.get(&key).await?;
            let version = UpdateVersion { e_tag: got.meta.e_tag.clone(), version: got.meta.version.clone() };
            Ok((got.bytes().await?.to_vec(), version))
        });
        self.unless_missing("read", file, read)
    }

    fn unless_missing<T>(
        &self,
        action: &'static str,
        file: &str,
        result: Result<T, Error>,
    ) -> Result<Option<T>, SinkError> {
        match result {
            Ok(found) => Ok(Some(found)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.at(action, file)(error)),
        }
    }

    /// Whether the store refuses a write whose condition does not hold.
    fn minds_conditions(&self) -> Result<bool, SinkError> {
        let name = format!(".conditions-{}", uuid::Uuid::new_v4().simple());
        let bytes = Bytes::from_static(b"lockstep looks whether this store minds conditions\n");
        self.put_new(&name, &bytes)?;
        let minds_names = match self.put(&name, bytes.clone(), PutMode::Create)? {
            Err(Error::AlreadyExists { .. }) => true,
            Err(error) => return Err(self.at("create", &name)(error)),
            Ok(_) => false,
        };
        let false_tag = UpdateVersion { e_tag: Some(format!("\"{}\"", "0".repeat(32))), version: None };
        let minds_tags = match self.put(&name, bytes, PutMode::Update(false_tag))? {
            Err(Error::Precondition { .. }) => true,
            Err(error) => return Err(self.at("replace", &name)(error)),
            Ok(_) => false,
        };
        self.remove("", &[name])?;
        Ok(minds_names && minds_tags)
    }
}

impl Store for Objects {
    fn path(&self, file: &str) -> PathBuf {
        self.out.join(file)
    }

    fn prepare(&self, _: &str) -> Result<(), SinkError> {
        Ok(())
    }

    fn create(&self, file: &str) -> Result<Box<dyn Draft>, SinkError> {
        Ok(Box::new(NewObject { objects: self.clone(), file: file.to_owned(), bytes: Vec::new() }))
    }

    fn read(&self, file: &str) -> Result<Option<Vec<u8>>, SinkError> {
        Ok(self.read_version(file)?.map(|(bytes, _)| bytes))
    }

    fn read_part(&self, file: &str, offset: u64, length: u64) -> Result<Vec<u8>, SinkError> {
        if length == 0 {
            return Ok(Vec::new());
        }
        let (store, key) = (Arc::clone(&self.store), self.key(file)?);
        let read = wait(async move { store.get_range(&key, offset..offset.saturating_add(length)).await });
        read.map(|bytes| bytes.to_vec()).map_err(self.at("read", file))
    }

    fn length(&self, file: &str) -> Result<Option<u64>, SinkError> {
        let (store, key) = (Arc::clone(&self.store), self.key(file)?);
        let found = wait(async move { store.head(&key).await });
        Ok(self.unless_missing("look at", file, found)?.map(|found| found.size))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SinkError> {
        let (store, key) = (Arc::clone(&self.store), self.key(folder)?);
        let listed =
            wait(async move { store.list_with_delimiter(Some(&key)).await }).map_err(self.at("list", folder))?;
        Ok(listed.objects.iter().filter_map(|found| found.location.filename()).map(str::to_owned).collect())
    }

    fn remove(&self, folder: &str, names: &[String]) -> Result<u64, SinkError> {
        let mut removed = 0;
        for name in names {
            let file = format!("{folder}/{name}");
            let file = file.trim_start_matches('/');
            let (store, key) = (Arc::clone(&self.store), self.key(file)?);
            let gone = wait(async move { store.delete(&key).await });
            removed += u64::from(self.unless_missing("remove", file, gone)?.is_some());
        }
        Ok(removed)
    }

    fn note(&self, file: &str, text: &[u8]) -> Result<(), SinkError> {
        let mut all = self.read(file)?.unwrap_or_default();
        all.extend(text);
        self.put(file, all.into(), PutMode::Overwrite)?.map(drop).map_err(self.at("append to", file))
    }

    fn lock(&self) -> Result<Option<Held>, SinkError> {
        if self.minds_conditions()? {
            return Ok(Some(Held { _file: None }));
        }
        let why = "the store does not refuse a write whose condition (If-Match, If-None-Match) does not hold, so two runs \
             could undo each other's work; name a bucket of a store that does, or a folder of this machine";
        Err(SinkError::at("use", &self.out)(io::Error::new(io::ErrorKind::Unsupported, why)))
    }

    fn grow(&self, file: &str, from: Begin) -> Result<Box<dyn Growing>, SinkError> {
        Ok(Box::new(lines::Lines::begin(self.clone(), file, from)?))
    }
}

/// A file until it is put.
struct NewObject {
    objects: Objects,
    file: String,
    bytes: Vec<u8>,
}

impl Draft for NewObject {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bytes.extend(bytes);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), SinkError> {
        let Self { objects, file, bytes } = *self;
        objects.put_new(&file, &bytes.into())
    }
}
