//! `lockstep certs`: certificates for development, so that TLS can be tried without an authority of one's own.

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::IpAddr,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};

use crate::{
    cli::Global,
    exit::{Refused, Usage},
};

const FILES: [&str; 6] = ["ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key"];

/// Flags of `certs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  lockstep certs ./certs --host broker.example
  lockstep serve --listen 0.0.0.0:9324 --tls-cert certs/server.pem --tls-key certs/server.key --client-ca certs/ca.pem
  lockstep --endpoint https://broker.example:9324 --tls-ca certs/ca.pem --tls-cert certs/client.pem --tls-key certs/client.key queue list")]
pub(crate) struct CertsArgs {
    /// The folder for the files; made when it is missing. Nothing in it is overwritten.
    folder: PathBuf,
    /// Names and addresses of the broker, besides localhost, 127.0.0.1 and ::1.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
}

/// Makes an authority, and a server's and a client's certificate of it.
pub(crate) fn run(args: &CertsArgs, global: &Global) -> anyhow::Result<()> {
    let folder = &args.folder;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if let Some(there) = FILES.iter().map(|name| folder.join(name)).find(|path| path.exists()) {
        let text = format!("{} is there already; nothing is overwritten, choose another folder", there.display());
        return Err(Refused(text).into());
    }
    let mut params = named("Lockstep development authority", Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    write(&folder.join("ca.pem"), &authority.pem(), 0o644)?;
    write(&folder.join("ca.key"), &authority.key().serialize_pem(), 0o600)?;
    let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let hosts = local.into_iter().chain(args.host.iter().cloned()).collect();
    for (name, hosts, purpose) in [
        ("server", hosts, ExtendedKeyUsagePurpose::ServerAuth),
        ("client", Vec::new(), ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let mut params = named(&format!("Lockstep {name}"), hosts)?;
        params.extended_key_usages = vec![purpose];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        write(&folder.join(format!("{name}.pem")), &certificate.pem(), 0o644)?;
        write(&folder.join(format!("{name}.key")), &key.serialize_pem(), 0o600)?;
    }
    let shown = serde_json::json!({ "folder": folder, "files": FILES });
    global.output().result(&shown, || format!("{}: {}", folder.display(), FILES.join(" ")))
}

/// Valid from a day before now for a year.
fn named(name: &str, hosts: Vec<String>) -> anyhow::Result<CertificateParams> {
    if let Some(bad) = hosts.iter().find(|host| host.parse::<IpAddr>().is_err() && !host.is_ascii()) {
        return Err(Usage(format!("--host {bad}: not a host name")).into());
    }
    let mut params = CertificateParams::new(hosts).map_err(|error| Usage(format!("--host: {error}")))?;
    params.distinguished_name.push(DnType::CommonName, name);
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = |date: jiff::civil::Date| {
        let part = |part: i8| u8::try_from(part).expect("a date's parts are positive");
        rcgen::date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = date(today.yesterday()?);
    params.not_after = date(today.saturating_add(jiff::Span::new().days(365)));
    Ok(params)
}

fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
