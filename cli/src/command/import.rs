//! `attachectl import`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use attachectl::import::{BasePath, Options, ScopeUse, apigee};
use clap::{Args, Subcommand, ValueEnum};

/// Writes a configuration from what another gateway has.
#[derive(Debug, Args)]
pub(crate) struct Import {
    #[command(subcommand)]
    from: From,
}

/// Which gateway it is.
#[derive(Debug, Subcommand)]
enum From {
    #[command(about = "Write routes and requirements from Apigee's API products")]
    Apigee(Box<Apigee>),
}

/// Reads API products as Apigee's API exports them, and writes a configuration in which an operation of a product needs
/// the product's scopes.
///
/// The configuration goes to standard output, and what does not carry over to standard error; comments say it, too.
/// What cannot be said exactly is left out, and denied. Exits 0 when something was written, with --strict only if
/// nothing was left out, and 2 when nothing can be written.
#[derive(Debug, Args)]
struct Apigee {
    /// The export: one product, a list, or the answer to `GET …/apiproducts?expand=true`; `-` is standard input.
    file: PathBuf,
    /// The issuer's URL, exactly as its tokens have it as `iss`.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// The audience (`aud`) that names this API in tokens; may be repeated, and one of them is sufficient.
    #[arg(long, value_name = "AUDIENCE", required = true)]
    audience: Vec<String>,
    /// Where the issuer's keys are, if it has no metadata.
    #[arg(long, value_name = "URL")]
    jwks_uri: Option<String>,
    /// Envoy's cluster that leads to the issuer.
    #[arg(long, value_name = "NAME", default_value = "issuer")]
    cluster: String,
    /// The base path of a proxy, `PROXY=/PATH`, or `/PATH` of all others; may be repeated.
    #[arg(long, value_name = "[PROXY=]PATH")]
    base_path: Vec<String>,
    /// Only products of this environment.
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// How many of a product's scopes a token needs.
    #[arg(long, value_enum, default_value_t = Scopes::All)]
    scopes: Scopes,
    /// The claim of a token that lists its products, such as `api_product_list`; it is then required, too.
    #[arg(long, value_name = "CLAIM")]
    product_claim: Option<String>,
    /// What becomes of a product without scopes, where no claim tells whose token it is.
    #[arg(long, value_enum, default_value_t = Unscoped::Deny)]
    unscoped: Unscoped,
    /// Exit 1 where something was left out that Apigee lets through.
    #[arg(long)]
    strict: bool,
}

/// How many of a product's scopes a token needs.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scopes {
    /// All of them.
    All,
    /// One of them. Where products share a scope, their tokens are then good for each other's operations.
    Any,
}

/// What becomes of a product without scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Unscoped {
    /// Its operations are left out.
    Deny,
    /// Any valid token may use them.
    Authenticated,
}

impl Import {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self.from {
            From::Apigee(apigee) => apigee.run(),
        }
    }
}

impl Apigee {
    fn run(self) -> Result<ExitCode> {
        let file = self.file.display().to_string();
        let export = read(&self.file).with_context(|| format!("cannot read {file}"))?;
        let options = Options {
            issuer: self.issuer,
            audiences: self.audience,
            jwks_uri: self.jwks_uri,
            cluster: self.cluster,
            base_paths: self.base_path.iter().map(|path| BasePath::parse(path)).collect::<Result<_>>()?,
            environment: self.environment,
            scopes: match self.scopes {
                Scopes::Any => ScopeUse::Any,
                Scopes::All => ScopeUse::All,
            },
            product_claim: self.product_claim,
            opens_unscoped: self.unscoped == Unscoped::Authenticated,
        };
        let imported = apigee(&export, &options).with_context(|| file.clone())?;
        print!("{}", imported.text);
        for note in &imported.notes {
            eprintln!("{note}");
        }
        let (products, routes) = imported.counts;
        eprintln!("{file}: {products} API products, {routes} routes, {} notes", imported.notes.len());
        let is_short = self.strict && imported.is_short;
        Ok(if is_short { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let limit = MAX_EXPORT_BYTES.saturating_add(1);
    let read = if path == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_string(&mut text)
    } else {
        std::fs::File::open(path)?.take(limit).read_to_string(&mut text)
    };
    read?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_EXPORT_BYTES {
        bail!("it is larger than {} MiB", MAX_EXPORT_BYTES / (1024 * 1024));
    }
    Ok(text)
}

/// Far more than a thousand products take.
const MAX_EXPORT_BYTES: u64 = 16 * 1024 * 1024;
