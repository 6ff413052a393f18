//! The option `max_record_bytes`, which all sources of bytes have.

use downspout_core::ConfigError;
use downspout_core::config_values::ByteSize;

/// Below that no audit record fits.
const LEAST: u64 = 1 << 10;

/// A record must fit into a batch, whose offsets have 32 bits, and into memory more than once.
const MOST: u64 = 256 << 20;

/// Real records reach some hundred kilobytes; Microsoft cuts most of them at one megabyte. A record that is parsed may
/// take ten times its length, and each worker has one.
pub(crate) fn default_max_record_bytes() -> ByteSize {
    ByteSize(4 << 20)
}

/// Checks the option.
pub(crate) fn check(size: ByteSize) -> Result<usize, ConfigError> {
    let sensible = (LEAST..=MOST).contains(&size.0).then(|| usize::try_from(size.0).ok()).flatten();
    sensible.ok_or_else(|| ConfigError::at("max_record_bytes", format!("{size} is not from 1KiB to 256MiB")))
}
