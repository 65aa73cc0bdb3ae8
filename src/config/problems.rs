use core::cell::RefCell;

#[cfg(not(target_os = "wasi"))]
use super::describer::Describer;
use super::error::{ConfigErrors, Problem};

/// The problems that have been found so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: RefCell<Vec<Problem>>,
    /// Where there is no document, and the reader is asked what it would take.
    #[cfg(not(target_os = "wasi"))]
    describer: Option<Describer>,
}

impl Problems {
    /// For a reader that is asked what it would take.
    #[cfg(not(target_os = "wasi"))]
    pub(super) fn describing(describer: Describer) -> Self {
        Self { describer: Some(describer), ..Self::default() }
    }

    /// What it has answered.
    #[cfg(not(target_os = "wasi"))]
    pub(super) fn into_describer(self) -> Describer {
        self.describer.unwrap_or_default()
    }

    pub(super) fn add(&self, path: &str, text: String) {
        let mut problems = self.found.borrow_mut();
        if problems.len() < MAX_PROBLEMS {
            problems.push(Problem { path: path.to_owned(), text });
        }
    }

    /// What was read, if nothing was wrong with any of it.
    pub(super) fn into_result<T>(self, read: Option<T>) -> Result<T, ConfigErrors> {
        let problems = self.found.into_inner();
        match read {
            Some(read) if problems.is_empty() => Ok(read),
            Some(_) | None if !problems.is_empty() => Err(ConfigErrors(problems)),
            Some(_) | None => {
                Err(ConfigErrors::one("not understood (a fault of this filter: please report it)"))
            }
        }
    }

    /// The describer, if the reader is only asked what it would take.
    #[cfg(not(target_os = "wasi"))]
    pub(super) fn describer(&self) -> Option<&Describer> {
        self.describer.as_ref()
    }
}

/// An operator would not read more.
const MAX_PROBLEMS: usize = 100;
