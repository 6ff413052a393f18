//! Columns of numbers, times and truth values.

use parquet::basic::Encoding;
use parquet::errors::Result;
use parquet::file::statistics::Statistics;

use super::chunk::{Bounds, Chunk, ChunkWriter, Codec, PAGE_ROWS};

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
pub(super) struct NumberWriter<T> {
    chunk: ChunkWriter,
    page: Vec<u8>,
    in_page: usize,
    bounds: Option<(T, T)>,
    before: Option<(T, T)>,
    all: Option<(T, T)>,
}

impl<T: Number> NumberWriter<T> {
    /// `chunk`: of an optional column with bounds.
    pub(super) fn new(chunk: ChunkWriter) -> NumberWriter<T> {
        NumberWriter { chunk, page: Vec::new(), in_page: 0, bounds: None, before: None, all: None }
    }

    /// Adds a row; a full page with it.
    #[inline]
    pub(super) fn push(&mut self, number: Option<T>, codec: &mut Codec) -> Result<()> {
        let number = number.filter(|number| number.is_ordered());
        if let Some(number) = number {
            number.put(self.in_page, &mut self.page);
            self.in_page += 1;
            self.bounds = Some(hull(self.bounds, (number, number)));
        }
        self.chunk.row(usize::from(number.is_some()));
        if self.chunk.page_rows() >= PAGE_ROWS { self.end_page(codec) } else { Ok(()) }
    }

    fn end_page(&mut self, codec: &mut Codec) -> Result<()> {
        let bounds = self.bounds.take().map(|bounds| {
            let ascending = self.before.is_none_or(|before| bounds.0 >= before.0 && bounds.1 >= before.1);
            self.before = Some(bounds);
            self.all = Some(hull(self.all, bounds));
            let (least, greatest) = T::outer(bounds);
            Bounds { least: least.bytes(), greatest: greatest.bytes(), ascending }
        });
        self.chunk.end_page(Encoding::PLAIN, &self.page, bounds, codec)?;
        self.page.clear();
        self.in_page = 0;
        Ok(())
    }

    /// Ends the column.
    pub(super) fn finish(mut self, codec: &mut Codec) -> Result<Chunk> {
        if self.chunk.page_rows() > 0 {
            self.end_page(codec)?;
        }
        let (least, greatest) = self.all.map(T::outer).unzip();
        let statistics = T::statistics(least, greatest, self.chunk.total_nulls());
        self.chunk.finish(None, Some(statistics), None, codec)
    }
}

/// The least bounds that hold both.
fn hull<T: Number>(bounds: Option<(T, T)>, (least, greatest): (T, T)) -> (T, T) {
    let Some(bounds) = bounds else { return (least, greatest) };
    (if least < bounds.0 { least } else { bounds.0 }, if greatest > bounds.1 { greatest } else { bounds.1 })
}
