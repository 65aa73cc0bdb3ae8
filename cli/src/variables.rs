//! The environment of the VM that a filter runs in, as its plugin's configuration gives it, and the variables that the
//! filter's configuration names.

use std::collections::{BTreeMap, BTreeSet};

use attache::config;

use crate::reading::{Filter, Host, Place};

/// The variables of a VM.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    /// Those with their values, as they are written in the file.
    given: BTreeMap<String, String>,
    /// Those that come from the environment of Envoy; `None` where the file does not tell.
    passed: Option<BTreeSet<String>>,
}

/// Where a configuration names a variable.
#[derive(Clone, Debug)]
pub(crate) struct Reference<'a> {
    pub(crate) place: Place<'a>,
    pub(crate) name: &'a str,
    /// The algorithm that it is a key for, if it is one.
    algorithm: &'a str,
}

/// How a VM gets a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Its value is written in the file.
    Given,
    /// From the environment of Envoy, as far as the file tells.
    Passed,
    /// It does not get it.
    Missing,
}

impl Variables {
    /// What the plugin of a filter gives to its VM.
    pub(crate) fn of(filter: &Filter<'_>) -> Self {
        let names = |list: Option<Place<'_>>| {
            let items = list.into_iter().flat_map(|list| list.items());
            items.filter_map(|item| item.as_str().map(str::to_owned)).collect::<BTreeSet<_>>()
        };
        let mut given = BTreeMap::new();
        let passed = match filter.host {
            Host::Envoy => {
                let environment = filter.vm_config().and_then(|vm| vm.member("environment_variables"));
                let values = environment.as_ref().and_then(|environment| environment.member("key_values"));
                let values = values.iter().flat_map(|values| values.members());
                given.extend(
                    values.filter_map(|(name, value)| Some((name.to_owned(), value.as_str()?.to_owned()))),
                );
                names(environment.and_then(|environment| environment.member("host_env_keys")))
            }
            Host::Istio => {
                let mut passed = BTreeSet::new();
                for variable in filter.plugin.at(&["vmConfig", "env"]).iter().flat_map(|list| list.items()) {
                    let name = variable.text("name").to_owned();
                    if variable.text("valueFrom") == "HOST" {
                        passed.insert(name);
                    } else {
                        given.insert(name, variable.text("value").to_owned());
                    }
                }
                passed
            }
            Host::EnvoyGateway => names(filter.plugin.at(&["env", "hostKeys"])),
            Host::Unknown => return Self::default(),
        };
        Self { given, passed: Some(passed) }
    }

    /// How the VM gets a variable.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        match &self.passed {
            _ if self.given.contains_key(name) => Origin::Given,
            Some(passed) if !passed.contains(name) => Origin::Missing,
            Some(_) | None => Origin::Passed,
        }
    }
}

/// Where an inline value of a variable is written.
pub(crate) fn place_of_value<'a>(filter: &Filter<'a>, name: &str) -> Option<Place<'a>> {
    let envoy = filter.vm_config().and_then(|vm| {
        let mut values = vm.at(&["environment_variables", "key_values"])?.members();
        values.find(|(key, _)| *key == name).map(|(_, value)| value)
    });
    envoy.or_else(|| filter.plugin.at(&["vmConfig", "env"])?.items().find(|item| item.text("name") == name))
}

impl config::Environment for Variables {
    #[allow(clippy::disallowed_methods, reason = "a command line reads its environment")]
    fn variable(&self, name: &str) -> Option<String> {
        match self.origin(name) {
            Origin::Given => self.given.get(name).cloned(),
            Origin::Passed => std::env::var(name).ok(),
            Origin::Missing => None,
        }
    }
}

/// Every place where a configuration names a variable.
pub(crate) fn references<'a>(config: &Place<'a>) -> Vec<Reference<'a>> {
    let mut found = Vec::new();
    collect(config, "", &mut found);
    found
}

fn collect<'a>(place: &Place<'a>, algorithm: &'a str, found: &mut Vec<Reference<'a>>) {
    for (name, value) in place.members() {
        let variable = value.member("env").filter(|_| SECRETS.contains(&name));
        match variable.and_then(|place| Some((place.as_str()?, place))) {
            Some((name, place)) => found.push(Reference { place, name, algorithm }),
            None => collect(&value, value.text("algorithm"), found),
        }
    }
    place.items().for_each(|item| collect(&item, "", found));
}

/// Variables with something in place of each that is not set here, so that the rest of a configuration can be compiled.
pub(crate) struct StandIns<'a> {
    pub(crate) variables: &'a Variables,
    pub(crate) references: &'a [Reference<'a>],
    pub(crate) has_vm_id: bool,
}

impl config::Environment for StandIns<'_> {
    fn variable(&self, name: &str) -> Option<String> {
        config::Environment::variable(self.variables, name).or_else(|| {
            let reference = self.references.iter().find(|reference| reference.name == name)?;
            let kind = match reference.algorithm {
                "" => return Some(SECRET.to_owned()),
                "ES256" => "EC",
                "EdDSA" => "OKP",
                _ => "RSA",
            };
            let examples: Vec<serde_json::Value> = serde_json::from_str(EXAMPLE_KEYS).ok()?;
            let keys = examples.iter().filter_map(|example| example.get("jwk"));
            let key = keys.into_iter().find(|key| key.get("kty").is_some_and(|kty| kty == kind));
            key.map(ToString::to_string)
        })
    }

    fn has_vm_id(&self) -> bool {
        self.has_vm_id
    }
}

/// The fields that a variable may stand in.
const SECRETS: [&str; 4] = ["secret", "key", "shared_secret", "sealing_secret"];
/// Long enough for a seal and for every HS*, and base64url.
const SECRET: &str = "c3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQtaW4t\
                      c3RhbmQtaW4tc3RhbmQtaW4tc3RhbmQt";
/// The keys that RFCs print as examples.
const EXAMPLE_KEYS: &str = include_str!("../../tests/conformance/signing_keys.json");
