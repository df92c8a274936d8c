//! Certificates for one run: an authority and a server's certificate for loopback, made by the program `openssl`.
//!
//! Owns the files. The program is lighter than a library that would be compiled into every test: it is there wherever
//! Redis with TLS is tried by hand.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::StartError;
use crate::program;

/// What openssl is told; its own file would add to it.
const CONFIG: &str = "\
[req]
distinguished_name = name
prompt = no
[name]
CN = flashsale-services
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = IP:127.0.0.1, DNS:localhost
authorityKeyIdentifier = keyid
";

/// The files of one authority and one server.
#[derive(Debug, Clone)]
pub(crate) struct Certificates {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificates {
    /// Makes all of them in a folder.
    pub(crate) fn make(folder: &Path) -> Result<Self, StartError> {
        let openssl = program::find("openssl", "openssl")?;
        std::fs::write(folder.join("openssl.cnf"), CONFIG).map_err(StartError::system("openssl's settings"))?;
        let new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf";
        let steps = [
            format!("req -x509 {new} -extensions authority -days 2 -keyout ca.key -out ca.pem"),
            format!("req {new} -keyout server.key -out server.csr"),
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile openssl.cnf \
             -extensions server -out server.pem"
                .to_owned(),
        ];
        for step in steps {
            let output = Command::new(&openssl).args(step.split_whitespace()).current_dir(folder).output();
            let output = output.map_err(StartError::system("openssl"))?;
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                return Err(StartError::Ended { program: format!("openssl {step}"), said });
            }
        }
        let [authority, certificate, key] = ["ca.pem", "server.pem", "server.key"].map(|name| folder.join(name));
        Ok(Self { authority, certificate, key })
    }
}
