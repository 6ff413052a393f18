//! Each stage alone, on records in memory: parse, flatten, geoip, Parquet.

fn main() {}
