//! Keycloak, `https://issuer.example`, with the realm of `realm.json`.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use attache_harness::http::Request;
use attache_harness::token::{Authentication, TokenRequest};

use crate::program::{Program, run};
use crate::world::{World, checkout};

/// A running Keycloak.
pub(crate) struct Keycloak {
    _program: Program,
}

impl Keycloak {
    pub(crate) fn start(world: &World) -> Result<Self> {
        let home = world.directory("keycloak")?.join("home");
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
        command.args(["start-dev", "--import-realm", "--hostname", "https://issuer.example"]);
        command.args(["--http-host", "127.0.0.2", "--http-port", "8080", "--https-port", "443"]);
        for (option, file) in
            [("--https-certificate-file", "server.crt"), ("--https-certificate-key-file", "server.key")]
        {
            command.arg(option).arg(world.certificate(file));
        }
        let mut program = Program::start("keycloak", home.parent().unwrap_or(&home), &mut command)?;
        program.wait_until("Keycloak's realm", PATIENCE, || {
            Request::get(format!("{PLAIN}/realms/orders"))
                .send()
                .is_ok_and(|answer| answer.status == 200)
                .then_some(())
        })?;
        Ok(Self { _program: program })
    }

    /// Asks for a token with these scopes (separated by spaces) as the realm's client `orders-service`.
    pub(crate) fn token(&self, scope: &str) -> Result<String> {
        let request = TokenRequest {
            endpoint: format!("{PLAIN}/realms/orders/protocol/openid-connect/token"),
            client_id: CLIENT.into(),
            client_secret: SECRET.into(),
            authentication: Authentication::ClientSecretBasic,
            scope: Some(scope.into()),
            resource: None,
            audience: None,
        };
        Ok(request.send()?.access_token)
    }
}

/// The JDK of at least version 21 that `tools/setup mesh` has found.
fn java_home() -> PathBuf {
    std::fs::canonicalize(checkout(".tools/mesh/java")).unwrap_or_default()
}

/// The realm's client, and its secret.
pub(crate) const CLIENT: &str = "orders-service";
pub(crate) const SECRET: &str = "demo-secret";
/// Without TLS, for these tests' own questions.
const PLAIN: &str = "http://127.0.0.2:8080";
const PATIENCE: Duration = Duration::from_secs(180);
