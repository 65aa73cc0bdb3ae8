//! The commands of a page: what stands in its blocks of `sh` is run as it stands, but for addresses.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::world::checkout;

/// A page and its commands.
pub(crate) struct Page {
    blocks: Vec<Block>,
    run: BTreeSet<usize>,
}

struct Block {
    heading: String,
    commands: String,
}

impl Page {
    pub(crate) fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(checkout(path))?;
        let mut page = Self { blocks: Vec::new(), run: BTreeSet::new() };
        let (mut heading, mut open) = (String::new(), None::<String>);
        for line in text.lines() {
            match (line.trim_start(), &mut open) {
                ("```sh", None) => open = Some(String::new()),
                ("```", Some(_)) => {
                    let commands = open.take().unwrap_or_default();
                    page.blocks.push(Block { heading: heading.clone(), commands });
                }
                (_, Some(commands)) => *commands += &format!("{line}\n"),
                (other, None) => {
                    if let Some(title) = other.strip_prefix('#') {
                        heading = title.trim_start_matches('#').trim().to_owned();
                    }
                }
            }
        }
        Ok(page)
    }

    /// Takes the n-th block under a heading, in order to run it.
    pub(crate) fn take(&mut self, heading: &str, n: usize) -> Result<String> {
        let under = self.blocks.iter().enumerate().filter(|(_, block)| block.heading == heading);
        let (index, block) =
            under.clone().nth(n).with_context(|| format!("no block {n} under `{heading}`"))?;
        self.run.insert(index);
        Ok(block.commands.clone())
    }

    /// The first block that was not taken.
    pub(crate) fn left(&self) -> Option<&str> {
        let block = self.blocks.iter().enumerate().find(|(index, _)| !self.run.contains(index));
        block.map(|(_, block)| block.commands.as_str())
    }
}
