//! docs/keycloak.md: its commands are run as a reader would run them, and its configurations are those that Envoy gets.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::keycloak::Keycloak;
use crate::program::run;
use crate::world::checkout;

/// The page.
pub(super) struct Guide<'k> {
    keycloak: &'k Keycloak,
    page: String,
    blocks: Vec<Block>,
    used: RefCell<BTreeSet<usize>>,
}

struct Block {
    heading: String,
    language: String,
    text: String,
}

impl<'k> Guide<'k> {
    pub(super) fn read(keycloak: &'k Keycloak) -> Result<Self> {
        let page = std::fs::read_to_string(checkout("docs/keycloak.md"))?;
        let mut blocks: Vec<Block> = Vec::new();
        let (mut heading, mut is_open) = ("", false);
        for line in page.lines() {
            if let Some(language) = line.strip_prefix("```") {
                is_open = !is_open;
                if is_open {
                    let (heading, language) = (heading.to_owned(), language.to_owned());
                    blocks.push(Block { heading, language, text: String::new() });
                }
            } else if is_open {
                let block = blocks.last_mut().context("a block")?;
                block.text += &format!("{line}\n");
            } else if line.starts_with('#') {
                heading = line.trim_start_matches(['#', ' ']);
            }
        }
        Ok(Self { keycloak, page: page.clone(), blocks, used: RefCell::default() })
    }

    /// Runs a section's commands in order, all sections in one shell: variables stay.
    pub(super) fn run(&self, heading: &str) -> Result<()> {
        for text in self.of(heading, "sh")? {
            self.shell(text).with_context(|| format!("docs/keycloak.md, {heading}"))?;
        }
        Ok(())
    }

    /// Runs commands that the page does not have, in the same shell.
    pub(super) fn shell(&self, commands: &str) -> Result<String> {
        let names: BTreeSet<&str> = self.blocks.iter().flat_map(|block| variables(&block.text)).collect();
        let keep: Vec<String> =
            names.iter().map(|name| format!("declare -p {name} 2>/dev/null || :")).collect();
        let script = format!(
            "set -euo pipefail\n[ ! -e variables ] || . ./variables\n{commands}\n{{ {}; }} >variables",
            keep.join("; ")
        );
        let mut command = Command::new("bash");
        self.keycloak.administer(&mut command);
        run(command.args(["-c", &script]))
    }

    /// A variable that the page's commands have set.
    pub(super) fn value(&self, variable: &str) -> Result<String> {
        let value = self.shell(&format!("echo \"${variable}\""))?;
        let value = value.trim();
        if value.is_empty() {
            bail!("docs/keycloak.md: {variable} is empty");
        }
        Ok(value.to_owned())
    }

    /// How many requests for each document the page's table has for so many minutes.
    pub(super) fn requests_in(&self, minutes: u32) -> Result<u64> {
        let start = format!("| in the first {minutes} minutes | ");
        let row = self.page.lines().find_map(|line| line.strip_prefix(&start)).context("no such row")?;
        row.trim_end_matches([' ', '|']).parse().with_context(|| format!("not a number: {row}"))
    }

    /// A section's commands.
    pub(super) fn commands(&self, heading: &str) -> Result<Vec<&str>> {
        self.of(heading, "sh")
    }

    /// The options of a server's start that a section asks for; the server has them already.
    pub(super) fn start_options(&self, heading: &str) -> Result<Vec<&str>> {
        let text = self.of(heading, "sh")?.into_iter().next().context("a command")?;
        Ok(text.split_whitespace().filter(|word| word.starts_with("--")).collect())
    }

    /// A section's configurations.
    pub(super) fn yaml(&self, heading: &str) -> Result<Vec<Value>> {
        let texts = self.of(heading, "yaml")?;
        texts.into_iter().map(|text| Ok(serde_saphyr::from_str(text)?)).collect()
    }

    /// Fails if there is a command or a configuration that has not been used.
    pub(super) fn is_used_up(&self) -> Result<()> {
        let used = self.used.borrow();
        for (number, Block { heading, language, .. }) in self.blocks.iter().enumerate() {
            if language != "text" && !used.contains(&number) {
                bail!("docs/keycloak.md, {heading}: a block that nothing runs");
            }
        }
        Ok(())
    }

    fn of(&self, heading: &str, language: &str) -> Result<Vec<&str>> {
        let blocks = self.blocks.iter().enumerate();
        let fits = |block: &Block| block.heading == heading && block.language == language;
        let fitting: Vec<(usize, &Block)> = blocks.filter(|(_, block)| fits(block)).collect();
        if fitting.is_empty() {
            bail!("docs/keycloak.md has no {language} under `{heading}`");
        }
        self.used.borrow_mut().extend(fitting.iter().map(|(number, _)| number));
        Ok(fitting.into_iter().map(|(_, block)| block.text.as_str()).collect())
    }
}

/// The variables that a command sets: `NAME=$(…)`.
fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| Some(line.split_once("=$(")?.0).filter(|name| !name.contains(' ')))
}
