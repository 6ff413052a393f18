//! The lake: a folder of Parquet files that DuckDB, Spark and Trino read as it is.
//!
//! # What it does
//! Collects events, and writes them as Parquet when enough have come ([`Roll`]). One table holds all feeds: a common
//! schema (`time`, `user_id`, `operation`, `client_ip` ...), a map `fields` with every flattened field under
//! Microsoft's name, and the record as received in `raw`. A file becomes visible at once and whole, and holds each
//! event exactly once, whatever crashes meanwhile: files are written under a hidden name, synced, recorded in the
//! store together with what they cover, and only then renamed. Folders are Hive partitions
//! (`workload=Exchange/date=2026-11-22/`); rows are sorted by `time` inside a file.
//!
//! Put `flatten` in front: without it, `fields` and the common schema see the top level of a record only.
//!
//! # The table
//! | column | type |
//! | --- | --- |
//! | `time` | timestamp, microseconds, UTC; null if the record has none that can be read |
//! | `id`, `tenant_id`, `source`, `workload`, `operation`, `record_type`, `result`, `user_id`, `user_type`, `object_id`, `app_id`, `user_agent` | string |
//! | `client_ip`, `client_port` | string in canonical form, int32 |
//! | `geo_country`, `geo_region`, `geo_city`, `geo_lat`, `geo_lon`, `asn`, `as_org` | what `geoip` added for `client_ip`: string, double, int64 |
//! | `rules` | list of string: what `detect` matched |
//! | `fields` | map of string to string; a field with several values, or from an array, holds a JSON array |
//! | `raw` | string; left out with `raw: false` |
//!
//! `columns` adds typed columns of further fields. Columns that make the folders stay in the files too, with the same
//! values, so a file that is copied elsewhere is still whole; `date` is in the folder's name only. Readers that know
//! Hive partitions take the folder's value. Characters that have a meaning in paths are percent-encoded there, and a
//! missing value is `__HIVE_DEFAULT_PARTITION__`.
//!
//! # Example
//! ```yaml
//! sinks:
//!   lake:
//!     type: parquet
//!     inputs: [hunt]
//!     path: ./lake
//!     partition_by: [workload, date]
//!     columns:
//!       - { name: session_id, field: AppAccessContext.AADSessionId }
//!       - { name: item_bytes, field: Item.SizeInBytes, type: int64 }
//! ```
//!
//! # Metrics
//! Those of every sink. `error_type`: `disk_full`, `permission`, `path`, `foreign`, `io`, `encode`.

mod collect;
mod commit;
mod encode;
mod lake;
mod layout;
pub mod ndjson;
mod partition;
mod record;
mod schema;
mod table;
mod time;

use std::path::PathBuf;
use std::time::Duration;

use downspout_core::config_values::{ByteSize, HumanDuration};
use downspout_core::{Build, Component, ConfigError, Sink};
use schemars::JsonSchema;
use serde::Deserialize;

use collect::Form;
use lake::Lake;
pub use table::ColumnType;
use table::Table;

/// Writes Parquet files, exactly once, into a folder of Hive partitions.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ParquetConfig {
    /// The lake's folder. It is made if it does not exist. Several sinks may share it.
    pub path: PathBuf,
    /// The columns whose values make the folders: `date` (the day of `time`, UTC) and columns of type string, from
    /// the outermost folder inwards. Empty: no folders. Each of their values costs every commit a folder and a file that
    /// the disk must make durable, some milliseconds: take columns of few values.
    #[serde(default = "default_partition_by")]
    pub partition_by: Vec<String>,
    /// Further columns of their own, for fields that are asked for often.
    #[serde(default)]
    pub columns: Vec<PromotedColumn>,
    /// Whether the table has the column `raw`, the record as received.
    #[serde(default = "default_raw")]
    pub raw: bool,
    /// When collected events are written.
    #[serde(default)]
    pub roll: Roll,
    /// The level of zstd, from 1 (fast) to 22 (small).
    #[serde(default = "default_compression_level")]
    pub compression_level: i32,
    /// The most rows of a row group, the unit that readers read in parallel.
    #[serde(default = "default_row_group_rows")]
    pub row_group_rows: usize,
}

/// A field that has a column of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PromotedColumn {
    /// The column's name: letters, digits and `_`.
    pub name: String,
    /// The flattened field, as `fields` names it.
    pub field: String,
    /// The column's type. A value that does not fit gives null.
    #[serde(default, rename = "type")]
    pub column_type: ColumnType,
}

/// When collected events are written. Whichever comes first counts.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Roll {
    /// As soon as that many rows are collected.
    pub max_rows: usize,
    /// As soon as the collected events take that much memory. While these are written, as many again are collected.
    pub max_bytes: ByteSize,
    /// As soon as the oldest collected event is that old.
    pub max_age: HumanDuration,
}

impl Default for Roll {
    fn default() -> Self {
        Roll { max_rows: 250_000, max_bytes: ByteSize(24 << 20), max_age: HumanDuration(Duration::from_secs(300)) }
    }
}

fn default_partition_by() -> Vec<String> {
    vec!["workload".to_owned(), "date".to_owned()]
}

fn default_raw() -> bool {
    true
}

fn default_compression_level() -> i32 {
    1
}

fn default_row_group_rows() -> usize {
    250_000
}

impl Component for ParquetConfig {
    type Stage = Box<dyn Sink>;
    const TYPE: &'static str = "parquet";
    const EXAMPLE: &'static str = "path: ./lake\npartition_by: [workload, date]";

    fn plan(self) -> Result<Build<Box<dyn Sink>>, Vec<ConfigError>> {
        let table = Table::plan(&self)?;
        Ok(Box::new(move |context| Ok(Box::new(Lake::open(self.path, self.roll, Form::Parquet, table, context)?))))
    }
}

#[cfg(test)]
mod tests;
