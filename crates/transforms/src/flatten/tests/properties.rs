//! What holds for every record.
use super::*;
