//! TLS and tokens over loopback: who gets in, who does not, and what each is told.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    time::Duration,
};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use sha2::{Digest as _, Sha256};

use crate::world::{BrokerProcess, ended, run};

fn certs(folder: &Path) -> String {
    let folder = folder.to_str().unwrap();
    assert_eq!(ended(&run(&["certs", folder])).0, 0);
    folder.to_owned()
}

fn file(folder: &str, name: &str) -> String {
    format!("{folder}/{name}")
}

/// Makes a client's certificate of the authority in a folder, valid between the first days of two years.
fn client_of(authority: &Path, into: &Path, (from, to): (i32, i32)) {
    let key = KeyPair::from_pem(&std::fs::read_to_string(authority.join("ca.key")).unwrap()).unwrap();
    let mut issuer = CertificateParams::new(Vec::new()).unwrap();
    issuer.distinguished_name.push(DnType::CommonName, "Lockstep development authority");
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    (params.not_before, params.not_after) = (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(to, 1, 1));
    let own = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&own, &Issuer::new(issuer, key)).unwrap();
    std::fs::create_dir(into).unwrap();
    std::fs::write(into.join("client.pem"), certificate.pem()).unwrap();
    std::fs::write(into.join("client.key"), own.serialize_pem()).unwrap();
}

/// Whether the broker ends a connection within 30 s.
fn ends(mut stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn a_client_of_the_right_authority_gets_in_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, foreign) = (certs(&folder.path().join("ours")), certs(&folder.path().join("foreign")));
    let (cert, key, ca) = (file(&ours, "server.pem"), file(&ours, "server.key"), file(&ours, "ca.pem"));
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--client-ca", &ca];
    let broker = BrokerProcess::start_with(&folder.path().join("data"), &flags);
    assert!(broker.endpoint.starts_with("https://127.0.0.1"), "{}", broker.endpoint);
    let with = |endpoint: &str, ca: &str, identity: Option<&str>| {
        let mut arguments = vec!["--endpoint".to_owned(), endpoint.to_owned(), "--patience".to_owned(), "0".to_owned()];
        arguments.extend(["--tls-ca".to_owned(), file(ca, "ca.pem")]);
        if let Some(of) = identity {
            let (cert, key) = (file(of, "client.pem"), file(of, "client.key"));
            arguments.extend(["--tls-cert".to_owned(), cert, "--tls-key".to_owned(), key]);
        }
        arguments.extend(["queue".to_owned(), "create".to_owned(), "a.fifo".to_owned()]);
        ended(&run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    };
    // Half-open connections, more than may be under way, do not keep a healthy client out.
    let address = broker.endpoint.strip_prefix("https://").unwrap();
    let flood: Vec<_> = (0..600).map(|_| TcpStream::connect(address).unwrap()).collect();
    let (code, _, err) = with(&broker.endpoint, &ours, Some(&ours));
    assert_eq!(code, 0, "{err}");
    assert!(ends(&flood[0]), "the oldest gave way");
    drop(flood);
    // One that says the beginning of a handshake and no more.
    let mut slow = TcpStream::connect(address).unwrap();
    slow.write_all(&[22, 3, 1]).unwrap();
    let (code, _, err) = with(&broker.endpoint, &foreign, Some(&ours));
    assert!(code == 3 && err.contains("invalid peer certificate"), "wrong authority: {code} {err}");
    let (code, _, err) = with(&broker.endpoint, &ours, Some(&foreign));
    assert_eq!(code, 3, "foreign certificate: {err}");
    let (code, _, err) = with(&broker.endpoint, &ours, None);
    assert_eq!(code, 3, "no certificate: {err}");
    for (name, years, ends_with) in [("fresh", (2020, 2090), 0), ("expired", (2020, 2021), 3)] {
        let other = folder.path().join(name);
        client_of(Path::new(&ours), &other, years);
        let (code, _, err) = with(&broker.endpoint, &ours, Some(other.to_str().unwrap()));
        assert_eq!(code, ends_with, "{name} certificate: {err}");
    }
    let plain = broker.endpoint.replace("https", "http");
    let (code, _, err) = ended(&run(&["--endpoint", &plain, "--patience", "0", "queue", "list"]));
    assert_eq!(code, 3, "plain client: {err}");
    let mut page = String::new();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("400") && page.contains("speaks TLS"), "{page}");
    assert!(ends(&slow), "a handshake has its time");
    assert_eq!(broker.terminate(), Some(0));

    let broker = BrokerProcess::start(&folder.path().join("plain"));
    let (code, _, err) = with(&broker.endpoint.replace("http", "https"), &ours, None);
    assert!(code == 3 && err.contains("speaks no TLS"), "{code} {err}");
}

#[test]
fn a_token_opens_what_it_has_the_right_to() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens");
    let hash = |token: &str| Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    std::fs::write(&file, format!("boss {}\nviewer {} read\n", hash("b"), hash("v"))).unwrap();
    let broker = BrokerProcess::start_with(&folder.path().join("data"), &["--tokens", file.to_str().unwrap()]);
    let with = |token: &[&str], verb: &[&str]| ended(&run(&[&["--endpoint", &broker.endpoint], token, verb].concat()));
    assert_eq!(with(&["--token", "b"], &["queue", "create", "a.fifo"]).0, 0);
    assert!(with(&["--token", "v"], &["queue", "list"]).1.contains("a.fifo"));
    let (code, _, err) = with(&["--token", "v"], &["queue", "delete", "a.fifo"]);
    assert!(code == 4 && err.contains("viewer") && err.contains("admin"), "{code} {err}");
    let (code, _, err) = with(&["--token", "x"], &["queue", "list"]);
    assert!(code == 4 && err.contains("TOKEN_UNKNOWN"), "{code} {err}");
    let (code, _, err) = with(&[], &["queue", "list"]);
    assert!(code == 4 && err.contains("LOCKSTEP_TOKEN"), "{code} {err}");
    assert_eq!(broker.terminate(), Some(0));
}

#[test]
fn a_file_of_credentials_that_cannot_be_used_is_named_without_its_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("credentials"), folder.path().join("data"));
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap(), "--credentials"];
    let run_with = |path: &std::path::Path| ended(&run(&[&serve[..], &[path.to_str().unwrap()]].concat()));
    let (code, _, err) = run_with(&file);
    assert!(code == 4 && err.contains("--credentials"), "{code} {err}");
    std::fs::write(&file, "[a]\naws_access_key_id = A\naws_secret_access_key = hidden secret\n").unwrap();
    let (code, _, err) = run_with(&file);
    assert!(code == 4 && err.contains("line 3") && !err.contains("hidden"), "{code} {err}");
    let (code, _, err) = ended(&run(&[&serve[..5], &["--account", "12"]].concat()));
    assert!(code == 2 && err.contains("12 digits"), "{code} {err}");
}

#[test]
fn a_broker_is_not_open_to_a_network_by_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let ours = certs(&folder.path().join("ours"));
    let (code, _, err) = ended(&run(&["certs", &ours]));
    assert!(code == 4 && err.contains("nothing is overwritten"), "{code} {err}");
    let key = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(file(&ours, "server.key")).unwrap());
    assert_eq!(key & 0o777, 0o600);
    let data = folder.path().join("data");
    let serve = |flags: &[&str]| {
        let base = ["serve", "--listen", "0.0.0.0:0", "--data", data.to_str().unwrap()];
        ended(&run(&[&base[..], flags].concat()))
    };
    let (code, _, err) = serve(&[]);
    assert!(code == 4 && err.contains("--insecure") && err.contains("lockstep certs"), "{code} {err}");
    let (cert, other) = (file(&ours, "server.pem"), file(&ours, "client.key"));
    let (code, _, err) = serve(&["--tls-cert", &cert, "--tls-key", &other]);
    assert!(code == 4 && err.contains("client.key"), "{code} {err}");
    let (code, _, err) = serve(&["--client-ca", &cert]);
    assert!(code == 2 && err.contains("--tls-cert"), "{code} {err}");
}
