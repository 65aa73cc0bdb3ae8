//! What has to be known before a bootstrap can be written, and the questions that find it out.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};

use super::route::RouteLine;

/// What is to be written: flags, or what was answered in their place.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// Which half, or both.
    pub half: Option<Half>,
    /// The issuer's URL, exactly as its tokens have it as `iss`.
    pub issuer: Option<String>,
    /// The `aud` that tokens must have; one of them is sufficient.
    pub audiences: Vec<String>,
    /// The routes, in the syntax of `--route`.
    pub routes: Vec<String>,
    /// The API behind the proxy, `HOST:PORT`.
    pub upstream: Option<String>,
    /// Where the keys are, for an issuer without metadata.
    pub jwks_uri: Option<String>,
    /// Whether tokens must say `typ: at+jwt` (RFC 9068).
    pub wants_at_jwt: bool,
    /// The token endpoint, for a server without metadata.
    pub token_endpoint: Option<String>,
    /// The client's id.
    pub client_id: Option<String>,
    /// The variable that holds the client's secret.
    pub secret_env: Option<String>,
    /// The file with the client's credential, which Envoy reads (SDS), in place of the variable.
    pub secret_sds: Option<String>,
    /// The scopes that are asked for.
    pub scopes: Vec<String>,
    /// The API that gets tokens, as an https URL.
    pub destination: Option<String>,
}

/// Which half of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// Requests that come in.
    Inbound,
    /// Requests that go out.
    Outbound,
    /// Both.
    Both,
}

/// Something that is not known yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    field: Field,
    /// The flag that answers it.
    pub flag: &'static str,
    /// The question.
    pub text: &'static str,
    /// The answer that an empty line gives.
    pub default: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Half,
    Issuer,
    Audience,
    Route,
    Upstream,
    ClientId,
    SecretEnv,
    Destination,
}

impl Half {
    /// Reads its name.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "inbound" => Ok(Self::Inbound),
            "outbound" => Ok(Self::Outbound),
            "both" => Ok(Self::Both),
            _ => bail!("expected inbound, outbound or both"),
        }
    }

    /// Whether requests that come in are part of it.
    pub fn has_inbound(self) -> bool {
        matches!(self, Self::Inbound | Self::Both)
    }

    /// Whether requests that go out are.
    pub fn has_outbound(self) -> bool {
        matches!(self, Self::Outbound | Self::Both)
    }
}

impl Answers {
    /// A method and a path for which a token is needed, if a route needs one.
    pub fn example(&self) -> Option<(String, String)> {
        let mut routes = self.routes.iter().filter_map(|text| RouteLine::parse(text).ok());
        routes.find(RouteLine::wants_token).map(|route| route.example())
    }

    /// What is still to be asked, in order; those with a default need no answer.
    pub fn questions(&self) -> Vec<Question> {
        let question = |field, flag, text, default| Question { field, flag, text, default };
        let Some(half) = self.half else {
            let text = "Which half: inbound (verify callers' tokens), outbound (add tokens to calls), both";
            return vec![question(Field::Half, "inbound|outbound|both", text, Some("inbound"))];
        };
        let mut questions = Vec::new();
        let needs_issuer = half.has_inbound() || self.token_endpoint.is_none();
        if needs_issuer && self.issuer.is_none() {
            let text = "The issuer's URL, exactly as tokens have it as `iss`";
            questions.push(question(Field::Issuer, "--issuer", text, None));
        }
        if half.has_inbound() && self.audiences.is_empty() {
            let text = "The audience (`aud`) that names this API in tokens";
            questions.push(question(Field::Audience, "--audience", text, None));
        }
        if half.has_inbound() && self.routes.is_empty() {
            let text = "A route and its scopes, such as `GET /orders/{id} orders:read`";
            questions.push(question(Field::Route, "--route", text, Some("/*")));
        }
        if half.has_inbound() && self.upstream.is_none() {
            let text = "Where the API listens, HOST:PORT";
            questions.push(question(Field::Upstream, "--upstream", text, Some("127.0.0.1:8080")));
        }
        if half.has_outbound() && self.client_id.is_none() {
            questions.push(question(Field::ClientId, "--client-id", "The client's id", None));
        }
        if half.has_outbound() && self.secret_env.is_none() && self.secret_sds.is_none() {
            let text = "The variable of Envoy's environment that will hold the client's secret (its name)";
            questions.push(question(Field::SecretEnv, "--secret-env", text, Some("CLIENT_SECRET")));
        }
        if half.has_outbound() && self.destination.is_none() {
            let text = "The API that is called, as an https URL";
            questions.push(question(Field::Destination, "--destination", text, None));
        }
        questions
    }

    /// Asks for what is not known, until it is.
    ///
    /// # Errors
    /// The input ends, or the output cannot be written.
    pub fn ask(&mut self, input: &mut impl BufRead, output: &mut impl Write) -> Result<()> {
        while let Some(question) = self.questions().into_iter().next() {
            let default = question.default.map(|default| format!(" [{default}]")).unwrap_or_default();
            write!(output, "{}{default}: ", question.text)?;
            output.flush()?;
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                bail!("the input ended before {} was answered", question.flag);
            }
            let answer = match (line.trim(), question.default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            if let Err(error) = self.answer(question.field, answer) {
                writeln!(output, "  {error:#}")?;
            }
        }
        Ok(())
    }

    /// Takes the defaults for what has one.
    ///
    /// # Errors
    /// Something has none: all flags that are missing.
    pub fn complete(&mut self) -> Result<()> {
        if self.half.is_none() {
            bail!("say which half: `attachectl init inbound`, `outbound` or `both`");
        }
        let questions = self.questions();
        let missing: Vec<_> = questions
            .iter()
            .filter(|question| question.default.is_none() || question.field == Field::Route)
            .collect();
        if !missing.is_empty() {
            let flags: Vec<String> = missing
                .iter()
                .map(|question| format!("    {:<14} {}", question.flag, question.text))
                .collect();
            bail!("missing:\n{}", flags.join("\n"));
        }
        for question in questions {
            self.answer(question.field, question.default.unwrap_or_default())?;
        }
        Ok(())
    }

    fn answer(&mut self, field: Field, answer: &str) -> Result<()> {
        let text =
            || Some(answer.to_owned()).filter(|answer| !answer.is_empty()).context("it takes an answer");
        match field {
            Field::Half => self.half = Some(Half::parse(answer)?),
            Field::Issuer => self.issuer = Some(text().and_then(|url| host_of(&url).map(|_| url))?),
            Field::Audience => self.audiences = vec![text()?],
            Field::Route => self.routes = vec![RouteLine::parse(answer).map(|_| answer.to_owned())?],
            Field::Upstream => self.upstream = Some(text().and_then(|at| address(&at).map(|_| at))?),
            Field::ClientId => self.client_id = Some(text()?),
            Field::SecretEnv => {
                self.secret_env = Some(text().and_then(|name| check_variable(&name).map(|()| name))?);
            }
            Field::Destination => self.destination = Some(text().and_then(|url| host_of(&url).map(|_| url))?),
        }
        Ok(())
    }
}

/// The host and the port of an https URL. No address: there is no certificate for it, as a rule, and no SNI.
pub(super) fn host_of(url: &str) -> Result<(String, u16)> {
    check_characters(url)?;
    let read = attache::oauth::parse_url(url).with_context(|| format!("{url} is not a URL"))?;
    if read.scheme() != "https" {
        bail!("{url}: expected an https URL: secrets and keys travel there");
    }
    let host =
        read.host_str().filter(|host| !host.is_empty()).with_context(|| format!("{url} has no host"))?;
    if host.starts_with('[') || host.parse::<std::net::IpAddr>().is_ok() {
        bail!("{url}: expected the name of a host, which its certificate has, and not an address");
    }
    Ok((host.to_owned(), read.port().unwrap_or(443)))
}

/// A host and a port.
pub(super) fn address(text: &str) -> Result<(String, u16)> {
    check_characters(text)?;
    let (host, port) = text.rsplit_once(':').with_context(|| format!("{text}: expected HOST:PORT"))?;
    let port = port.parse().with_context(|| format!("{text}: the port is not a number up to 65535"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        bail!("{text}: expected HOST:PORT");
    }
    Ok((host.to_owned(), port))
}

/// The name of a variable. What is refused may be the secret itself, so it is not repeated.
pub(super) fn check_variable(name: &str) -> Result<()> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        bail!(
            "--secret-env: expected the name of a variable (letters, digits and `_`), and not the secret itself"
        );
    }
    Ok(())
}

/// No line feed makes a second line of a comment.
fn check_characters(text: &str) -> Result<()> {
    if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
        bail!("{text:?}: expected no spaces and no control characters");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_asked_once_more_until_it_is_an_answer() {
        let mut answers = Answers::default();
        let lines = "neither\nboth\nhttp://issuer.example\nhttps://issuer.example\n\nhttps://orders.example\n\
                     get /x\nGET /x x:read\n\norders\nhunter2-hunter2\n\nhttps://127.0.0.1\nhttps://billing.example\n";
        let mut output = Vec::new();
        answers.ask(&mut lines.as_bytes(), &mut output).unwrap();
        let output = String::from_utf8(output).unwrap();
        for told in [
            "expected inbound",
            "expected an https URL",
            "takes an answer",
            "upper case",
            "not the secret",
            "not an address",
        ] {
            assert_eq!(output.matches(told).count(), 1, "{told}: {output}");
        }
        assert!(!output.contains("hunter2"), "{output}");
        assert!(output.contains("[127.0.0.1:8080]: ") && output.contains("[CLIENT_SECRET]: "), "{output}");
        assert_eq!(answers.upstream.as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(answers.secret_env.as_deref(), Some("CLIENT_SECRET"));
        assert!(answers.questions().is_empty());
        let mut ended = Answers::default();
        assert!(ended.ask(&mut "both\n".as_bytes(), &mut Vec::new()).is_err());
    }
}
