//! Keycloak, `https://issuer.example`, with the realm of `realm.json`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use attache_harness::http::{Request, Response};
use serde_json::Value;

use crate::program::{Program, run};
use crate::world::{World, checkout};

/// A running Keycloak.
pub(crate) struct Keycloak {
    _program: Program,
    /// Where it and its administrator's commands run.
    directory: PathBuf,
    trust_store: PathBuf,
}

impl Keycloak {
    pub(crate) fn start(world: &World) -> Result<Self> {
        let directory = world.directory("keycloak")?;
        let home = directory.join("home");
        // It writes into its own directory.
        run(Command::new("cp")
            .args(["-r", "--reflink=auto"])
            .arg(checkout(".tools/mesh/keycloak"))
            .arg(&home))?;
        let import = home.join("data/import");
        std::fs::create_dir_all(&import)?;
        std::fs::copy(checkout("tests/mesh/realm.json"), import.join("realm.json"))?;
        let mut command = Command::new(home.join("bin/kc.sh"));
        command.env("JAVA_HOME", java_home()).env("JAVA_OPTS_KC_HEAP", "-Xms256m -Xmx768m");
        // A short run is over before a better compiler has paid for itself.
        command.env("JAVA_OPTS_APPEND", "-XX:TieredStopAtLevel=1");
        command
            .env("KC_BOOTSTRAP_ADMIN_USERNAME", "admin")
            .env("KC_BOOTSTRAP_ADMIN_PASSWORD", ADMIN_PASSWORD);
        command.arg("start").args(BUILD_OPTIONS);
        command.args(["--import-realm", "--hostname", "https://issuer.example", "--http-enabled=true"]);
        command.args(["--http-host", "127.0.0.2", "--http-port", "8080", "--https-port", "443"]);
        for (option, file) in [
            ("--https-certificate-file", "server.crt"),
            ("--https-certificate-key-file", "server.key"),
            ("--truststore-paths", "ca.crt"),
        ] {
            command.arg(format!("{option}={}", world.certificate(file).display()));
        }
        let mut program = Program::start("keycloak", &directory, &mut command)?;
        // While it starts.
        let trust_store = directory.join("trust.p12");
        trust(&world.certificate("ca.crt"), &trust_store)?;
        program.wait_until("Keycloak's realm", PATIENCE, || {
            let answer = Request::get(format!("{PLAIN}/realms/orders")).send();
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
        })?;
        Ok(Self { _program: program, directory, trust_store })
    }

    /// Asks for a token with these scopes (separated by spaces) as the realm's client `orders-service`.
    pub(crate) fn token(&self, scope: &str) -> Result<String> {
        self.token_of(CLIENT, SECRET, scope)
    }

    /// As `token`, for another of the realm's clients.
    pub(crate) fn token_of(&self, client: &str, secret: &str, scope: &str) -> Result<String> {
        let answer = self.ask("orders", client, secret, scope)?;
        let token = answer.get("access_token").and_then(Value::as_str);
        Ok(token.with_context(|| format!("Keycloak granted no token: {answer}"))?.to_owned())
    }

    /// Asks a realm for tokens by a client's credentials, and returns the whole answer.
    pub(crate) fn ask(&self, realm: &str, client: &str, secret: &str, scope: &str) -> Result<Value> {
        self.grant(realm, client, secret, &[("grant_type", "client_credentials"), ("scope", scope)])
    }

    /// Asks a realm for tokens by any grant, and returns the whole answer.
    pub(crate) fn grant(
        &self,
        realm: &str,
        client: &str,
        secret: &str,
        grant: &[(&str, &str)],
    ) -> Result<Value> {
        let form = [grant, &[("client_id", client), ("client_secret", secret)]].concat();
        Request::post(format!("{PLAIN}/realms/{realm}/protocol/openid-connect/token"))
            .form(&form)
            .send()?
            .json()
    }

    /// Reads one of its public documents.
    pub(crate) fn get(&self, path: &str) -> Result<Response> {
        Request::get(format!("{PLAIN}/{path}")).send()
    }

    /// Makes a command run as its administrator's shell would: beside its programs, with the password in the
    /// environment.
    pub(crate) fn administer(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command.current_dir(&self.directory).env("HOME", &self.directory).env("JAVA_HOME", java_home());
        command.env("PATH", format!("{}:{path}", self.directory.join("home/bin").display()));
        command.env("KC_CLI_PASSWORD", ADMIN_PASSWORD);
        let trust = format!("-Djavax.net.ssl.trustStore={}", self.trust_store.display());
        let quick = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";
        command
            .env("KC_OPTS", format!("{quick} {trust} -Djavax.net.ssl.trustStorePassword={STORE_PASSWORD}"));
    }

    /// Where its administrator's commands run.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Java has certification authorities of its own, and Keycloak's programs use those.
fn trust(authority: &Path, store: &Path) -> Result<()> {
    let mut command = Command::new(java_home().join("bin/keytool"));
    command.args(["-importcert", "-noprompt", "-alias", "mesh", "-storepass", STORE_PASSWORD]);
    run(command.arg("-keystore").arg(store).arg("-file").arg(authority))?;
    Ok(())
}

/// The JDK of at least version 21 that `tools/setup mesh` has found.
fn java_home() -> PathBuf {
    std::fs::canonicalize(checkout(".tools/mesh/java")).unwrap_or_default()
}

/// What `tools/setup mesh` has built Keycloak with. With other options, each start builds it again.
pub(crate) const BUILD_OPTIONS: [&str; 3] = ["--db=dev-mem", "--cache=local", "--https-client-auth=request"];
/// The realm's client, and its secret.
pub(crate) const CLIENT: &str = "orders-service";
pub(crate) const SECRET: &str = "demo-secret";
const ADMIN_PASSWORD: &str = "admin-password";
const STORE_PASSWORD: &str = "changeit";
/// Without TLS, for these tests' own questions.
const PLAIN: &str = "http://127.0.0.2:8080";
const PATIENCE: Duration = Duration::from_secs(300);
