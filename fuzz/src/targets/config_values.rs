//! What a configuration may say, and where: what its mutator chooses from. `config_values.json` lists it.

use serde::Deserialize;
use serde_json::{Map, Value};

#[derive(Deserialize)]
pub(super) struct Values {
    /// The first one that fits is a block's.
    blocks: Vec<Block>,
    /// Names and values that mean something somewhere.
    words: Vec<String>,
}

/// A kind of block, known by its members.
#[derive(Deserialize)]
struct Block {
    any_of: Vec<String>,
    all_of: Vec<String>,
    settings: Vec<Setting>,
}

/// A member with a good value; without one it is to be left out.
#[derive(Deserialize)]
pub(super) struct Setting {
    pub(super) name: String,
    pub(super) value: Option<Value>,
}

impl Values {
    pub(super) fn read() -> Self {
        serde_json::from_str(include_str!("config_values.json")).unwrap()
    }

    pub(super) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// What a block with these members may have.
    pub(super) fn settings_for(&self, members: &Map<String, Value>) -> &[Setting] {
        let has = |name: &String| members.contains_key(name);
        let fits = |block: &&Block| {
            block.all_of.iter().all(has) && (block.any_of.is_empty() || block.any_of.iter().any(has))
        };
        self.blocks.iter().find(fits).map_or(&[], |block| &block.settings)
    }
}
