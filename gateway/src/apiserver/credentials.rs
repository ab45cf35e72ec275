//! The API's own certificate authority, its server certificate, and the bearer token, under
//! `DIR/pki`. All are made at the first start; the server certificate is made again when the
//! host's names change or it nears its end, so a laptop that trusts the authority never notices.
#![expect(
    clippy::disallowed_methods,
    reason = "the store of secrets: it reads and writes files"
)]

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use jiff::{Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde::{Deserialize, Serialize};

use super::write::random;
use crate::seen::digest;

const CA_YEARS: i16 = 10;
const SERVER_YEARS: i16 = 2;
/// The server certificate is renewed this long before it ends.
const RENEW_BEFORE_DAYS: i64 = 90;
const SECONDS_PER_DAY: i64 = 86_400;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read or written.
    #[error("credentials file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error(
        "{} is damaged; restore it, or remove the directory {} to make new credentials \
         (kubeconfigs handed out stop working)",
        path.display(),
        path.parent().unwrap_or(path).display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A certificate cannot be made.
    #[error("making a certificate")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refuses the certificate.
    #[error("configuring TLS")]
    Tls(#[from] rustls::Error),
}

/// What TLS needs, ready to accept connections.
pub type TlsMaterial = Arc<rustls::ServerConfig>;

/// The authority, the server's certificate, and the token.
#[derive(Clone)]
pub struct Credentials {
    ca_certificate: String,
    served: Arc<Served>,
    token: String,
}

/// The server certificate that connections get from now on.
#[derive(Debug)]
struct Served(RwLock<Arc<CertifiedKey>>);

impl Served {
    fn present(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.present())
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Credentials(***)")
    }
}

/// What the present server certificate was made for.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    names: BTreeSet<String>,
    until_s: i64,
    /// Digest of the authority that signed it: one that was lost and made anew signs anew.
    authority: u64,
}

impl Credentials {
    /// Loads `directory/pki`, making what is missing or outdated. `names` are all DNS names and
    /// addresses under which the API is reached; `localhost` and the loopback ones are added.
    pub fn load_or_create(
        directory: &Path,
        names: &[String],
        now: Timestamp,
    ) -> Result<Self, CredentialsError> {
        let pki = directory.join("pki");
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder
            .create(&pki)
            .map_err(|source| CredentialsError::Io {
                path: pki.clone(),
                source,
            })?;
        let (ca_certificate, issuer) = authority(&pki, now)?;
        let authority = digest(&ca_certificate);
        let (certificate, key) = server(&pki, names, now, (&issuer, authority))?;
        let served = certified(&certificate, &key, &pki)?;
        let token_file = pki.join("token");
        let token = match read(&token_file)? {
            Some(token) if token.trim().is_empty() => {
                return Err(CredentialsError::Damaged { path: token_file });
            }
            Some(token) => token.trim().to_owned(),
            None => {
                let token = random::<32>().iter().fold(String::new(), |mut text, byte| {
                    let _ = write!(text, "{byte:02x}");
                    text
                });
                write_file(&token_file, &token)?;
                token
            }
        };
        Ok(Self {
            ca_certificate,
            served: Arc::new(Served(RwLock::new(served))),
            token,
        })
    }

    /// Makes a new server certificate if `names` have changed or it nears its end: a gateway
    /// that started before the network was there is reached by its address all the same.
    pub fn refresh(
        &self,
        directory: &Path,
        names: &[String],
        now: Timestamp,
    ) -> Result<(), CredentialsError> {
        let path = directory.join("pki").join("ca.crt");
        // An authority that was lost is not made anew under clients that trust the old one.
        if read(&path)?.as_ref() != Some(&self.ca_certificate) {
            return Err(CredentialsError::Damaged { path });
        }
        let fresh = Self::load_or_create(directory, names, now)?
            .served
            .present();
        *self
            .served
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The bearer token that a client must show.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The authority's certificate, as PEM.
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// The configuration of a TLS listener: this certificate, HTTP/2 and HTTP/1.1.
    pub fn tls(&self) -> Result<TlsMaterial, CredentialsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let served: Arc<dyn ResolvesServerCert> = Arc::<Served>::clone(&self.served);
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(served);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// A certificate and its key, as TLS wants them.
fn certified(
    certificate: &str,
    key: &str,
    pki: &Path,
) -> Result<Arc<CertifiedKey>, CredentialsError> {
    let damaged = |_| CredentialsError::Damaged {
        path: pki.join("server.pem"),
    };
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(damaged)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(damaged)?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(vec![certificate], key, &provider)?;
    Ok(Arc::new(certified))
}

/// A kubeconfig for `server_url`, which trusts the authority and holds the token.
pub fn kubeconfig(credentials: &Credentials, server_url: &str) -> String {
    render(&credentials.ca_certificate, &credentials.token, server_url)
}

/// The same from the files under `directory`, of which none is made or changed; `None` if no
/// gateway has run there.
pub fn read_kubeconfig(
    directory: &Path,
    server_url: &str,
) -> Result<Option<String>, CredentialsError> {
    let pki = directory.join("pki");
    let files = (read(&pki.join("ca.crt"))?, read(&pki.join("token"))?);
    let (Some(ca_certificate), Some(token)) = files else {
        return Ok(None);
    };
    Ok(Some(render(&ca_certificate, token.trim(), server_url)))
}

fn render(ca_certificate: &str, token: &str, server_url: &str) -> String {
    let ca = base64(ca_certificate.as_bytes());
    let server = serde_json::Value::from(server_url);
    format!(
        "apiVersion: v1\nkind: Config\nclusters:\n- name: nodling\n  cluster:\n    \
         server: {server}\n    certificate-authority-data: {ca}\nusers:\n- name: nodling\n  \
         user:\n    token: {token}\ncontexts:\n- name: nodling\n  context:\n    \
         cluster: nodling\n    user: nodling\ncurrent-context: nodling\n"
    )
}

fn authority(
    pki: &Path,
    now: Timestamp,
) -> Result<(String, Issuer<'static, KeyPair>), CredentialsError> {
    let (key_file, certificate_file) = (pki.join("ca.key"), pki.join("ca.crt"));
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "nodling");
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    if let Some(certificate) = read(&certificate_file)? {
        // Only the name and the key of the authority matter for signing, and both are known.
        let damaged = || CredentialsError::Damaged {
            path: key_file.clone(),
        };
        let key = read(&key_file)?.ok_or_else(damaged)?;
        let key = KeyPair::from_pem(&key).map_err(|_| damaged())?;
        CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| {
            CredentialsError::Damaged {
                path: certificate_file,
            }
        })?;
        return Ok((certificate, Issuer::new(params, key)));
    }
    limit_validity(&mut params, now, CA_YEARS);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.pem();
    write_file(&key_file, &key.serialize_pem())?;
    // The certificate last: where it is, the key is.
    write_file(&certificate_file, &certificate)?;
    Ok((certificate, Issuer::new(params, key)))
}

fn server(
    pki: &Path,
    names: &[String],
    now: Timestamp,
    (issuer, authority): (&Issuer<'_, KeyPair>, u64),
) -> Result<(String, String), CredentialsError> {
    let mut wanted: BTreeSet<String> = names.iter().filter(|name| is_name(name)).cloned().collect();
    wanted.extend(["localhost", "127.0.0.1", "::1", "kubernetes"].map(str::to_owned));
    let (certificate_file, made_file) = (pki.join("server.pem"), pki.join("server.json"));
    let made = read(&made_file)?.and_then(|text| serde_json::from_str::<Made>(&text).ok());
    let is_usable = made.is_some_and(|made| {
        made.authority == authority
            && made.names == wanted
            && made.until_s - now.as_second() > RENEW_BEFORE_DAYS * SECONDS_PER_DAY
    });
    if let Some(text) = read(&certificate_file)?.filter(|_| is_usable)
        && let Some((certificate, key)) = split(&text)
    {
        return Ok((certificate, key));
    }
    let mut params = CertificateParams::default();
    for name in &wanted {
        params.subject_alt_names.push(match name.parse() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(name.as_str().try_into()?),
        });
    }
    params
        .distinguished_name
        .push(DnType::CommonName, "nodling-gateway");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    limit_validity(&mut params, now, SERVER_YEARS);
    let until_s = params.not_after.unix_timestamp();
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?.pem();
    let key = key.serialize_pem();
    // One file: a certificate never meets another one's key.
    write_file(&certificate_file, &format!("{certificate}{key}"))?;
    let made = serde_json::to_string(&Made {
        names: wanted,
        until_s,
        authority,
    });
    write_file(&made_file, &made.expect("strings serialise"))?;
    Ok((certificate, key))
}

fn is_name(name: &str) -> bool {
    name.parse::<std::net::IpAddr>().is_ok()
        || super::validate::is_subdomain(&name.to_ascii_lowercase())
}

/// Takes the certificate and the key out of the file that holds both.
fn split(text: &str) -> Option<(String, String)> {
    let place = text.find("-----BEGIN PRIVATE KEY-----")?;
    let (certificate, key) = text.split_at_checked(place)?;
    CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
    PrivateKeyDer::from_pem_slice(key.as_bytes()).ok()?;
    Some((certificate.to_owned(), key.to_owned()))
}

/// From well before now, because clocks differ, and boards may start in 1970.
fn limit_validity(params: &mut CertificateParams, now: Timestamp, years: i16) {
    let year = now.to_zoned(TimeZone::UTC).year().max(2025);
    let last_year = year.saturating_add(years).saturating_add(1);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(i32::from(last_year), 1, 1);
}

fn read(path: &Path) -> Result<Option<String>, CredentialsError> {
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(CredentialsError::Damaged {
                path: path.to_owned(),
            }),
        },
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CredentialsError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

/// Replaces a file at once: after a power cut there is the old one or the new one.
fn write_file(path: &Path, content: &str) -> Result<(), CredentialsError> {
    let write = || -> io::Result<()> {
        let draft = path.with_extension("new");
        let mut options = fs::OpenOptions::new();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        fs::File::open(path.parent().unwrap_or(path))?.sync_all()
    };
    write().map_err(|source| CredentialsError::Io {
        path: path.to_owned(),
        source,
    })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let index = usize::try_from(bits >> (18 - 6 * place) & 63).unwrap_or_default();
            let letter = ALPHABET.get(index).copied().unwrap_or_default();
            text.push(if place <= group.len() {
                char::from(letter)
            } else {
                '='
            });
        }
    }
    text
}
