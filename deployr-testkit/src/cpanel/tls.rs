//! Certificates of an authority of its own, made once a process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A server's side of TLS, and the file of the authority that its certificate is of.
pub(super) struct Tls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) authority: PathBuf,
}

/// For `127.0.0.1` and `localhost`.
pub(super) fn tls() -> &'static Tls {
    static TLS: OnceLock<Tls> = OnceLock::new();
    TLS.get_or_init(make)
}

fn make() -> Tls {
    let folder = tempfile::Builder::new()
        .prefix("deployr-ca-")
        .tempdir()
        .expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    openssl(
        folder.path(),
        &[
            &[
                "req",
                "-x509",
                "-days",
                "30",
                "-subj",
                "/CN=deployr test authority",
            ][..],
            &key,
            &["-keyout", "ca.key", "-out", "ca.pem"],
        ]
        .concat(),
    );
    openssl(
        folder.path(),
        &[
            &["req", "-subj", "/CN=localhost"][..],
            &key,
            &["-keyout", "key.pem", "-out", "csr.pem"],
        ]
        .concat(),
    );
    std::fs::write(path("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("a file");
    let sign = [
        "x509",
        "-req",
        "-days",
        "30",
        "-in",
        "csr.pem",
        "-CA",
        "ca.pem",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-extfile",
        "ext",
        "-out",
        "cert.pem",
    ];
    openssl(folder.path(), &sign);
    let certificate = CertificateDer::from_pem_file(path("cert.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(path("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions of TLS")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a key for the certificate");
    let authority = path("ca.pem");
    // The authority's file is read as long as the process runs; its key is not needed again.
    let _ = std::fs::remove_file(path("ca.key"));
    let _ = folder.keep();
    Tls {
        config: Arc::new(config),
        authority,
    }
}

fn openssl(folder: &Path, args: &[&str]) {
    let output = Command::new("openssl")
        .args(args)
        .current_dir(folder)
        .output();
    let output = output.expect(
        "openssl can be run (`cargo xtask setup` installs it; on Debian: apt-get install openssl)",
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
