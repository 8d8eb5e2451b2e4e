//! HTTPS.

use crate::client::{Client, json_request};
use crate::server::{INFER, Server, folder, images, nasty};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Self-signed certificates for 127.0.0.1 with their keys, valid until 2126.
const ONE: [&str; 2] = [include_str!("tls/one.pem"), include_str!("tls/one.key")];
const TWO: [&str; 2] = [include_str!("tls/two.pem"), include_str!("tls/two.key")];

/// A client that trusts `certificate` only.
fn connect(address: &str, certificate: &str) -> Client<StreamOwned<ClientConnection, TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")).expect("a certificate");
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").expect("an address");
    let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time");
    Client::over(StreamOwned::new(tls, stream))
}

fn write(folder: &Path, [certificate, key]: [&str; 2]) {
    fs::write(folder.join("cert.pem"), certificate).expect("writable");
    fs::write(folder.join("key.pem"), key).expect("writable");
}

#[test]
fn https_with_a_certificate_that_can_be_replaced() {
    let folder = folder();
    write(folder.path(), ONE);
    let server = Server::start(folder.path(), &["--tls-certificate", "cert.pem", "--tls-key", "key.pem"]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let request = json_request(&images(0, 20)).to_string();
    let ask =
        |certificate| connect(&server.address, certificate).send("POST", INFER, &[], request.as_bytes());
    assert_eq!(ask(ONE[0]).expect("an answer").numbers().len(), 60);
    assert!(ask(TWO[0]).is_err(), "it is not trusted");
    // Without TLS there is no answer.
    let plain = server.client().send("GET", "/v2/health/live", &[], b"");
    assert!(plain.map_or(true, |answer| answer.status != 200));

    let mut kept = connect(&server.address, ONE[0]);
    assert_eq!(kept.send("GET", "/v2", &[], b"").expect("an answer").status, 200);
    // A key that does not belong to it changes nothing.
    write(folder.path(), [TWO[0], ONE[1]]);
    server.signal("-HUP");
    server.until_it_says("the former certificate stays");
    write(folder.path(), TWO);
    server.signal("-HUP");
    let begun = Instant::now();
    while ask(TWO[0]).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the certificate was not read again");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(kept.send("GET", "/v2", &[], b"").expect("an old connection stays").status, 200);
    server.signal("-TERM");
    drop(kept);
    assert_eq!(server.wait().0.code(), Some(0));
}

#[test]
fn a_victim_behind_https_is_asked_if_its_certificate_is_trusted() {
    let folder = folder();
    let here = folder.path();
    write(here, ONE);
    fs::write(here.join("two.pem"), TWO[0]).expect("writable");
    let keys = ["--tls-certificate", "cert.pem", "--tls-key", "key.pem"];
    let inner = Server::start(here, &[&["--pixels"], &keys[..]].concat());
    let plain = Server::start(here, &["--pixels"]);
    let refused = |url: &str, more: &[&str], words: &str| {
        let arguments = [&["serve", url, "--port", "0", "--pixels"], more].concat();
        let ended = nasty(here, &arguments).output().expect("the program starts");
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(3) && said.contains(words), "{arguments:?}: {said}");
    };
    let unknown = "its certificate is signed by an authority that is not known here: --ca FILE";
    refused(&inner.url, &[], unknown);
    refused(&inner.url, &["--ca", "two.pem"], unknown);
    refused(&inner.url, &["--ca", "key.pem"], "key.pem: expected certificates in PEM: there are none");
    refused(&inner.url, &["--ca", "none.pem"], "none.pem: expected certificates in PEM: No such file");
    refused(&plain.url, &["--ca", "cert.pem"], "only an https:// address has");
    refused(&plain.url.replace("http://", "https://"), &["--ca", "cert.pem"], "expected TLS");

    let outer = Server::of(here, &inner.url, &["--pixels", "--ca", "cert.pem"]);
    let pixels: Vec<f32> = images(0, 3).iter().map(|v| ((v + 2.0) * 60.0).floor() / 255.0).collect();
    let request = json_request(&pixels).to_string();
    let answer = outer.client().send("POST", INFER, &[], request.as_bytes()).expect("an answer").numbers();
    let own = connect(&inner.address, ONE[0]).send("POST", INFER, &[], request.as_bytes());
    assert_eq!(answer, own.expect("an answer").numbers());
}
