//! The agent and a broker that speaks TLS: what is trusted, and what is said of what is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nodling_e2e::broker::Broker;
use nodling_e2e::lab::LIMIT;
use nodling_e2e::process::{Process, program};
use nodling_e2e::wait;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;

/// A certificate authority that writes its certificates into a directory.
struct Authority {
    dir: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name = called(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let dir = tempfile::tempdir()?;
        std::fs::write(dir.path().join("ca.pem"), issuer.pem())?;
        Ok(Self { dir, issuer })
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// Writes `<name>.pem` and `<name>.key`, valid for the host and the years.
    fn sign(&self, name: &str, host: &str, years: std::ops::Range<i32>) -> Result<()> {
        let mut params = CertificateParams::new(vec![host.to_owned()])?;
        params.distinguished_name = called(name);
        params.not_before = date_time_ymd(years.start, 1, 1);
        params.not_after = date_time_ymd(years.end, 1, 1);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        std::fs::write(self.path(&format!("{name}.pem")), certificate.pem())?;
        std::fs::write(self.path(&format!("{name}.key")), key.serialize_pem())?;
        Ok(())
    }

    /// A broker with a certificate for the host and the years, and further lines.
    async fn broker(&self, host: &str, years: std::ops::Range<i32>, more: &str) -> Result<Broker> {
        self.sign("broker", host, years)?;
        let [ca, certificate, key] =
            ["ca.pem", "broker.pem", "broker.key"].map(|file| self.path(file));
        let lines = format!(
            "allow_anonymous true\nuser root\ncafile {}\ncertfile {}\nkeyfile {}\n{more}",
            ca.display(),
            certificate.display(),
            key.display()
        );
        Broker::start_with(self.dir.path(), &lines).await
    }
}

fn called(name: &str) -> DistinguishedName {
    let mut called = DistinguishedName::new();
    called.push(DnType::CommonName, name);
    called
}

/// An agent that trusts `ca`, with further lines in its `[tls]`.
fn agent(dir: &Path, broker: &Broker, ca: &Path, more: &str) -> Result<Process> {
    let configuration = dir.join("agent.toml");
    let text = format!(
        "node_name = \"pi-1\"\nbroker = \"mqtts://127.0.0.1:{}\"\nstate_dir = \"{}\"\n\
         [tls]\nca_file = \"{}\"\n{more}",
        broker.port(),
        dir.join("state").display(),
        ca.display(),
    );
    std::fs::write(&configuration, text)?;
    let arguments = ["--config".to_owned(), configuration.display().to_string()];
    Process::start("agent", program("nodling-agent")?, &arguments, &[], dir)
}

async fn says(agent: &Process, words: &str) -> Result<()> {
    let ask = || async { Ok(agent.log()) };
    wait::until(words, LIMIT, ask, |log| log.contains(words)).await?;
    Ok(())
}

/// An agent meets a broker whose certificate is for `host` and `years`, and says so.
async fn says_of(host: &str, years: std::ops::Range<i32>, words: &str) -> Result<()> {
    let authority = Authority::new("home")?;
    let broker = authority.broker(host, years, "").await?;
    let dir = tempfile::tempdir()?;
    let mut agent = agent(dir.path(), &broker, &authority.path("ca.pem"), "")?;
    says(&agent, words).await?;
    let warnings = agent.log().matches(words).count();
    assert_eq!(warnings, 1, "said on each attempt:\n{}", agent.log());
    assert!(!agent.log().contains("connected to the broker"));
    let status = agent.terminate(Duration::from_secs(2)).await?;
    assert!(status.success(), "{}", agent.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_trusted_by_its_authority() -> Result<()> {
    let authority = Authority::new("home")?;
    let broker = authority.broker("127.0.0.1", 2020..2090, "").await?;
    let dir = tempfile::tempdir()?;
    let trusting = agent(dir.path(), &broker, &authority.path("ca.pem"), "")?;
    says(&trusting, "connected to the broker").await?;

    // People who make their authority anew give it the old name.
    for name in ["home", "another"] {
        let other = Authority::new(name)?;
        let dir = tempfile::tempdir()?;
        let doubting = agent(dir.path(), &broker, &other.path("ca.pem"), "")?;
        says(&doubting, "signed by nobody we trust: set ca_file").await?;
        assert!(!doubting.log().contains("connected to the broker"));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused() -> Result<()> {
    says_of("elsewhere.lan", 2020..2090, "not for this name").await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused() -> Result<()> {
    says_of("127.0.0.1", 2020..2021, "has expired").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_the_future_makes_the_clock_suspect() -> Result<()> {
    says_of(
        "127.0.0.1",
        2090..2095,
        "the clock of this board may be wrong",
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_may_want_our_certificate() -> Result<()> {
    let authority = Authority::new("home")?;
    let wanted = "require_certificate true\n";
    let broker = authority.broker("127.0.0.1", 2020..2090, wanted).await?;
    let ca = authority.path("ca.pem");

    let dir = tempfile::tempdir()?;
    let without = agent(dir.path(), &broker, &ca, "")?;
    says(&without, "set cert_file and key_file in [tls]").await?;

    authority.sign("board", "pi-1", 2020..2090)?;
    let identity = |by: &Authority| {
        let [certificate, key] =
            ["board.pem", "board.key"].map(|file| by.path(file).display().to_string());
        format!("cert_file = \"{certificate}\"\nkey_file = \"{key}\"\n")
    };
    let dir = tempfile::tempdir()?;
    let with = agent(dir.path(), &broker, &ca, &identity(&authority))?;
    says(&with, "connected to the broker").await?;

    for name in ["home", "another"] {
        let other = Authority::new(name)?;
        other.sign("board", "pi-1", 2020..2090)?;
        let dir = tempfile::tempdir()?;
        let stranger = agent(dir.path(), &broker, &ca, &identity(&other))?;
        says(&stranger, "does not accept our certificate").await?;
        assert!(!stranger.log().contains("connected to the broker"));
    }
    Ok(())
}
