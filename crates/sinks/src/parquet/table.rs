//! The lake's table: its columns, their types and how they are encoded.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema as ArrowSchema, TimeUnit};
use downspout_core::ConfigError;
use downspout_core::field::parse_name;
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::basic::ZstdLevel;
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::{ColumnDescPtr, SchemaDescriptor};
use schemars::JsonSchema;
use serde::Deserialize;

use super::record::{AS_ORG, CLIENT_IP, GEO_CITY, GEO_COUNTRY, GEO_REGION, SOURCE};
use super::{ParquetConfig, PromotedColumn};

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

/// What a column holds. Texts are numbered as in [`super::record`], promoted fields as in [`Table::promoted_fields`].
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
    Promoted { field: usize, column_type: ColumnType },
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

/// The most promoted columns of a lake: each costs a column chunk in every file.
const MOST_PROMOTED: usize = 200;

/// A lake's table, as planned from its config.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    /// The same as Parquet's schema.
    pub(super) parquet: SchemaDescriptor,
    /// Its leaves: the map has two, every other column one.
    pub(super) leaves: Vec<ColumnDescPtr>,
    pub(super) properties: Arc<WriterProperties>,
    /// The fields with columns of their own, without repeats.
    pub(super) promoted_fields: Vec<String>,
    pub(super) partition_by: Vec<PartitionColumn>,
    pub(super) level: ZstdLevel,
    pub(super) row_group_rows: usize,
}

/// A column that makes folders.
#[derive(Debug, Clone)]
pub(super) enum PartitionColumn {
    /// The day of `time`.
    Date,
    /// A column of type string.
    Text(Column),
}

impl PartitionColumn {
    /// Its name in the folder's.
    pub(super) fn name(&self) -> &str {
        match self {
            PartitionColumn::Date => DATE,
            PartitionColumn::Text(column) => &column.name,
        }
    }
}

/// The name of the partition column that is in no file.
const DATE: &str = "date";

impl Table {
    /// Checks the config. Errors: all mistakes in it.
    pub(super) fn plan(config: &ParquetConfig) -> Result<Table, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let fixed = COLUMNS.iter().filter(|(_, kind)| config.raw || *kind != Kind::Raw);
        let mut columns: Vec<Column> =
            fixed.map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        let mut promoted_fields: Vec<String> = Vec::new();
        for (index, column) in config.columns.iter().enumerate() {
            check_promoted(index, column, &columns, &mut errors);
            let known = promoted_fields.iter().position(|field| *field == column.field);
            let field = known.unwrap_or(promoted_fields.len());
            if known.is_none() {
                promoted_fields.push(column.field.clone());
            }
            let kind = Kind::Promoted { field, column_type: column.column_type };
            columns.push(Column { name: column.name.clone(), kind });
        }
        if config.columns.len() > MOST_PROMOTED {
            errors.push(ConfigError::at("columns", format!("more than {MOST_PROMOTED} columns")));
        }
        let mut partition_by = Vec::new();
        for (index, name) in config.partition_by.iter().enumerate() {
            let key = format!("partition_by.{index}");
            match columns.iter().find(|column| column.name == *name) {
                _ if config.partition_by[..index].contains(name) => {
                    errors.push(ConfigError::at(key, format!("`{name}` stands here twice")));
                }
                None if name == DATE => partition_by.push(PartitionColumn::Date),
                Some(column) if column.kind.data_type() == DataType::Utf8 && column.kind != Kind::Raw => {
                    partition_by.push(PartitionColumn::Text(column.clone()));
                }
                _ => errors.push(
                    ConfigError::at(key, format!("`{name}` is neither `date` nor a column of type string"))
                        .help("such as workload, tenant_id, source, record_type, or a promoted column"),
                ),
            }
        }
        let level = ZstdLevel::try_new(config.compression_level)
            .map_err(|_| errors.push(ConfigError::at("compression_level", "expected a number from 1 to 22")));
        for (key, wrong, message) in [
            ("path", config.path.as_os_str().is_empty(), "expected a folder"),
            ("compression_level", config.compression_level < 1 && level.is_ok(), "expected a number from 1 to 22"),
            ("row_group_rows", config.row_group_rows == 0, "expected at least 1"),
            ("roll.max_rows", config.roll.max_rows == 0, "expected at least 1"),
            ("roll.max_bytes", !(1..=1 << 30).contains(&config.roll.max_bytes.0), "expected a size from 1B to 1GiB"),
            ("roll.max_age", config.roll.max_age.0.is_zero(), "expected more than 0s"),
        ] {
            if wrong {
                errors.push(ConfigError::at(key, message));
            }
        }
        let (Ok(level), []) = (level, &*errors) else { return Err(errors) };
        let arrow = arrow_schema(&columns);
        let parquet = ArrowSchemaConverter::new()
            .convert(&arrow)
            .map_err(|error| vec![ConfigError::at("columns", format!("no Parquet schema can hold them: {error}"))])?;
        Ok(Table {
            leaves: parquet.columns().to_vec(),
            parquet,
            properties: Arc::new(properties(&arrow)),
            columns,
            promoted_fields,
            partition_by,
            level,
            row_group_rows: config.row_group_rows,
        })
    }

    /// The place of a column's first leaf in `leaves`.
    pub(super) fn first_leaf(&self, column: usize) -> usize {
        let behind_map = self.columns[..column].iter().any(|column| column.kind == Kind::Fields);
        column + usize::from(behind_map)
    }

    /// The columns in the order of the work that they make: the record as received, then the map, then the rest.
    pub(super) fn heaviest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.columns.len()).collect();
        order.sort_by_key(|column| match self.columns[*column].kind {
            Kind::Raw => 0,
            Kind::Fields => 1,
            _ => 2,
        });
        order
    }
}

fn check_promoted(index: usize, column: &PromotedColumn, columns: &[Column], errors: &mut Vec<ConfigError>) {
    let PromotedColumn { name, field, .. } = column;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.is_empty() || !name.chars().all(plain) || name.starts_with(|c: char| c.is_ascii_digit()) {
        let message = "expected letters, digits and `_`, and no digit first";
        errors.push(ConfigError::at(format!("columns.{index}.name"), message));
    }
    // Readers compare names without case.
    if name == DATE || columns.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
        let message = format!("the table already has a column `{name}`");
        errors.push(ConfigError::at(format!("columns.{index}.name"), message).help("choose another name"));
    }
    if parse_name(field).is_none_or(|segments| segments.is_empty()) {
        let message = "this is not the name of a field".to_owned();
        let help = "write it as `fields` shows it; a part that holds a dot stands in brackets: ModifiedProperties[Role.DisplayName].NewValue";
        errors.push(ConfigError::at(format!("columns.{index}.field"), message).help(help));
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

impl Kind {
    /// The Arrow type of the column.
    pub(super) fn data_type(self) -> DataType {
        match self {
            Kind::Time | Kind::Promoted { column_type: ColumnType::Timestamp, .. } => timestamp(),
            Kind::Text(_) | Kind::Raw | Kind::Promoted { column_type: ColumnType::String, .. } => DataType::Utf8,
            Kind::ClientPort => DataType::Int32,
            Kind::Latitude | Kind::Longitude | Kind::Promoted { column_type: ColumnType::Double, .. } => {
                DataType::Float64
            }
            Kind::Asn | Kind::Promoted { column_type: ColumnType::Int64, .. } => DataType::Int64,
            Kind::Promoted { column_type: ColumnType::Boolean, .. } => DataType::Boolean,
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
        !matches!(self, Kind::Rules | Kind::Fields | Kind::Raw)
    }
}

/// The columns as Arrow's schema.
fn arrow_schema(columns: &[Column]) -> ArrowSchema {
    let field = |column: &Column| Field::new(&column.name, column.kind.data_type(), column.kind.nullable());
    ArrowSchema::new(columns.iter().map(field).collect::<Vec<_>>())
}

impl Column {
    /// Whether it carries a Bloom filter: what an investigation asks for by its exact value.
    pub(super) fn has_bloom_filter(&self) -> bool {
        ["id", "operation", "user_id", "client_ip"].contains(&&*self.name)
    }

    /// Whether its values repeat, so that a dictionary pays.
    pub(super) fn repeats(&self) -> bool {
        self.name != "id"
    }
}

/// What all files have in common.
fn properties(arrow: &ArrowSchema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("downspout ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_sorting_columns(Some(vec![SortingColumn { column_idx: 0, descending: false, nulls_first: false }]))
        .build();
    // Arrow's schema names the time zone and the list's and map's parts, so that Arrow's readers need not guess.
    add_encoded_arrow_schema_to_metadata(arrow, &mut properties);
    properties
}
