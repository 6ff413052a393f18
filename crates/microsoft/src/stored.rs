//! Values in the store that are JSON: what sources remember from one run to the next.
//!
//! It stands alone because what to do about a value that cannot be read, and about one that cannot be written, is decided
//! here for all of them.

use downspout_core::store::{Store, StoreError, Write};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value; `None` if there is none, or none that can be read: that is one of a version to come, and what it said is told
/// again by what follows.
pub(crate) fn read<T: DeserializeOwned>(store: &Store, key: &[u8]) -> Result<Option<T>, StoreError> {
    Ok(store.get(key)?.and_then(|value| serde_json::from_slice(&value).ok()))
}

/// The write that makes a value durable.
pub(crate) fn write<T: Serialize + ?Sized>(key: Vec<u8>, value: &T) -> Write {
    // Plain data of strings, numbers and times always serialises.
    Write::set(key, serde_json::to_vec(value).unwrap_or_default())
}
