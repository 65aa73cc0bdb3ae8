//! Locks of what the handle and the handlers share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes the lock, also after a test's panic: what it guards is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
