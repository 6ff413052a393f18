//! The lake's table: its columns, their types and how they are encoded.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, SchemaRef, TimeUnit};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schemars::JsonSchema;
use serde::Deserialize;

use super::rows::{AS_ORG, CLIENT_IP, GEO_CITY, GEO_COUNTRY, GEO_REGION, SOURCE};

/// The type of a promoted column.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    /// The text that the `fields` map holds for it.
    #[default]
    String,
    /// A whole number of 64 bits.
    Int64,
    /// A floating-point number of 64 bits.
    Double,
    /// `true` or `false`, in any case.
    Boolean,
    /// A time in ISO 8601; UTC if it names no zone.
    Timestamp,
}

/// What a column holds; indexes are those of [`super::rows::Rows`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Time,
    Text(usize),
    ClientPort,
    Latitude,
    Longitude,
    Asn,
    Rules,
    Fields,
    Raw,
    Promoted(usize, ColumnType),
}

/// A column of the table.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: Kind,
}

/// The columns that every lake has, in their order. `raw` may be left out; promoted ones follow.
const COLUMNS: [(&str, Kind); 25] = [
    ("time", Kind::Time),
    ("id", Kind::Text(0)),
    ("tenant_id", Kind::Text(1)),
    ("source", Kind::Text(SOURCE)),
    ("workload", Kind::Text(2)),
    ("operation", Kind::Text(3)),
    ("record_type", Kind::Text(4)),
    ("result", Kind::Text(5)),
    ("user_id", Kind::Text(6)),
    ("user_type", Kind::Text(7)),
    ("object_id", Kind::Text(8)),
    ("app_id", Kind::Text(9)),
    ("user_agent", Kind::Text(10)),
    ("client_ip", Kind::Text(CLIENT_IP)),
    ("client_port", Kind::ClientPort),
    ("geo_country", Kind::Text(GEO_COUNTRY)),
    ("geo_region", Kind::Text(GEO_REGION)),
    ("geo_city", Kind::Text(GEO_CITY)),
    ("geo_lat", Kind::Latitude),
    ("geo_lon", Kind::Longitude),
    ("asn", Kind::Asn),
    ("as_org", Kind::Text(AS_ORG)),
    ("rules", Kind::Rules),
    ("fields", Kind::Fields),
    ("raw", Kind::Raw),
];

/// The columns that carry Bloom filters: what an investigation asks for by its exact value.
const BLOOM: [&str; 4] = ["id", "operation", "user_id", "client_ip"];

/// Columns whose values hardly repeat: a dictionary would hold them all.
const NO_DICTIONARY: [&str; 3] = ["id", "fields.key_value.value", "raw"];

/// The names of the columns that every lake has.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COLUMNS.iter().map(|(name, _)| *name)
}

/// A lake's columns.
pub(super) fn columns(raw: bool, promoted: &[(String, ColumnType)]) -> Vec<Column> {
    let fixed = COLUMNS.iter().filter(|(_, kind)| raw || *kind != Kind::Raw);
    let mut columns: Vec<Column> = fixed.map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
    for (index, (name, column_type)) in promoted.iter().enumerate() {
        columns.push(Column { name: name.clone(), kind: Kind::Promoted(index, *column_type) });
    }
    columns
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Kind {
    /// The Arrow type of the column.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Kind::Time | Kind::Promoted(_, ColumnType::Timestamp) => timestamp(),
            Kind::Text(_) | Kind::Raw | Kind::Promoted(_, ColumnType::String) => DataType::Utf8,
            Kind::ClientPort => DataType::Int32,
            Kind::Latitude | Kind::Longitude | Kind::Promoted(_, ColumnType::Double) => DataType::Float64,
            Kind::Asn | Kind::Promoted(_, ColumnType::Int64) => DataType::Int64,
            Kind::Promoted(_, ColumnType::Boolean) => DataType::Boolean,
            Kind::Rules => DataType::List(Arc::new(Field::new("element", DataType::Utf8, false))),
            Kind::Fields => {
                let entry = Fields::from([
                    Arc::new(Field::new("key", DataType::Utf8, false)),
                    Arc::new(Field::new("value", DataType::Utf8, false)),
                ]);
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
            }
        }
    }

    /// Whether a row may lack it.
    fn nullable(self) -> bool {
        !matches!(self, Kind::Rules | Kind::Fields | Kind::Raw | Kind::Text(SOURCE))
    }
}

/// The columns as Arrow's schema.
pub(super) fn arrow_schema(columns: &[Column]) -> SchemaRef {
    let field = |column: &Column| Field::new(&column.name, column.kind.data_type(), column.kind.nullable());
    Arc::new(ArrowSchema::new(columns.iter().map(field).collect::<Vec<_>>()))
}

/// How a file of `rows` rows is written.
pub(super) fn properties(level: ZstdLevel, rows: usize) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("downspout ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_data_page_row_count_limit(8192)
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]));
    for name in BLOOM {
        let path = ColumnPath::from(name);
        properties = properties
            .set_column_bloom_filter_enabled(path.clone(), true)
            .set_column_bloom_filter_fpp(path.clone(), 0.01)
            .set_column_bloom_filter_max_ndv(path, rows as u64);
    }
    for name in NO_DICTIONARY {
        let path = ColumnPath::from(name.split('.').map(str::to_owned).collect::<Vec<_>>());
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::PLAIN);
    }
    // Nobody looks for the greatest name or the least text of all fields.
    for name in ["fields.key_value.key", "fields.key_value.value", "raw"] {
        let path = ColumnPath::from(name.split('.').map(str::to_owned).collect::<Vec<_>>());
        properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
    }
    properties.build()
}
