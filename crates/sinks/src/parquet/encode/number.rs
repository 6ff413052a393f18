//! Columns of numbers, times and truth values.

use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::statistics::Statistics;

use super::chunk::{Bounds, Chunk, ChunkWriter, PAGE_ROWS};

/// A value that Parquet stores in a fixed number of bits.
pub(super) trait Number: Copy + PartialOrd {
    /// Appends it to a page that holds `before` values.
    fn put(self, before: usize, page: &mut Vec<u8>);

    /// Its bytes, as the page index holds them.
    fn bytes(self) -> Vec<u8>;

    /// Whether it can be compared, and so stored.
    fn is_ordered(self) -> bool {
        true
    }

    /// Bounds that hold for every reader.
    fn outer(bounds: (Self, Self)) -> (Self, Self) {
        bounds
    }

    fn statistics(least: Option<Self>, greatest: Option<Self>, nulls: u64) -> Statistics;
}

impl Number for i32 {
    fn put(self, _: usize, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.to_le_bytes());
    }
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
    fn statistics(least: Option<i32>, greatest: Option<i32>, nulls: u64) -> Statistics {
        Statistics::int32(least, greatest, None, Some(nulls), false)
    }
}

impl Number for i64 {
    fn put(self, _: usize, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.to_le_bytes());
    }
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
    fn statistics(least: Option<i64>, greatest: Option<i64>, nulls: u64) -> Statistics {
        Statistics::int64(least, greatest, None, Some(nulls), false)
    }
}

impl Number for f64 {
    fn put(self, _: usize, page: &mut Vec<u8>) {
        page.extend_from_slice(&self.to_le_bytes());
    }
    fn bytes(self) -> Vec<u8> {
        self.to_le_bytes().to_vec()
    }
    fn is_ordered(self) -> bool {
        !self.is_nan()
    }
    fn outer((least, greatest): (f64, f64)) -> (f64, f64) {
        // The two zeros are equal, but not to every reader.
        (if least == 0.0 { -0.0 } else { least }, if greatest == 0.0 { 0.0 } else { greatest })
    }
    fn statistics(least: Option<f64>, greatest: Option<f64>, nulls: u64) -> Statistics {
        Statistics::double(least, greatest, None, Some(nulls), false)
    }
}

impl Number for bool {
    fn put(self, before: usize, page: &mut Vec<u8>) {
        if before.is_multiple_of(8) {
            page.push(0);
        }
        if let Some(byte) = page.last_mut() {
            *byte |= u8::from(self) << (before % 8);
        }
    }
    fn bytes(self) -> Vec<u8> {
        vec![u8::from(self)]
    }
    fn statistics(least: Option<bool>, greatest: Option<bool>, nulls: u64) -> Statistics {
        Statistics::boolean(least, greatest, None, Some(nulls), false)
    }
}

/// Writes an optional column.
pub(super) fn write_numbers<T: Number>(
    mut chunk: ChunkWriter<'_>,
    numbers: impl ExactSizeIterator<Item = Option<T>>,
) -> Result<Chunk> {
    let count = numbers.len();
    let mut page = Vec::with_capacity(count.min(PAGE_ROWS) * size_of::<T>());
    let mut in_page = 0;
    let mut bounds: Option<(T, T)> = None;
    let mut before: Option<(T, T)> = None;
    let mut all: Option<(T, T)> = None;
    for (index, number) in numbers.enumerate() {
        let number = number.filter(|number| number.is_ordered());
        chunk.row(usize::from(number.is_some()));
        if let Some(number) = number {
            number.put(in_page, &mut page);
            in_page += 1;
            bounds = Some(hull(bounds, (number, number)));
        }
        if chunk.page_rows() == PAGE_ROWS || index + 1 == count {
            let of_page = bounds.take().map(|bounds| {
                let ascending = before.is_none_or(|before| bounds.0 >= before.0 && bounds.1 >= before.1);
                before = Some(bounds);
                all = Some(hull(all, bounds));
                let (least, greatest) = T::outer(bounds);
                Bounds { least: least.bytes(), greatest: greatest.bytes(), ascending }
            });
            chunk.end_page(Encoding::PLAIN, &page, of_page)?;
            page.clear();
            in_page = 0;
        }
    }
    let (least, greatest) = all.map(T::outer).unzip();
    let statistics = T::statistics(least, greatest, chunk.total_nulls());
    chunk.finish(None, Some(statistics), None)
}

/// The least bounds that hold both.
fn hull<T: Number>(bounds: Option<(T, T)>, (least, greatest): (T, T)) -> (T, T) {
    let Some(bounds) = bounds else { return (least, greatest) };
    (if least < bounds.0 { least } else { bounds.0 }, if greatest > bounds.1 { greatest } else { bounds.1 })
}
