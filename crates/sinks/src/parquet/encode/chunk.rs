//! A column chunk: pages, compressed, with what the footer and the page index say about them.
//!
//! The `parquet` crate's own column writers go through Arrow arrays, level by level, and hash every value. Here the
//! pages are put together straight from the events, which takes half the time; headers, footer and indexes are the
//! crate's.

use bytes::Bytes;
use parquet::basic::{BoundaryOrder, Compression, Encoding, EncodingMask, PageType, ZstdLevel};
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{CompressedPage, Page, PageWriteSpec, PageWriter};
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ColumnChunkMetaData, ColumnIndexBuilder, OffsetIndexBuilder, PageEncodingStats};
use parquet::file::statistics::Statistics;
use parquet::file::writer::{SerializedPageWriter, TrackedWrite};
use parquet::schema::types::ColumnDescPtr;
use zstd::bulk::Compressor;
use zstd::zstd_safe::CParameter;

use super::bits::Levels;

/// Rows of a page, at most: what a reader must read for one row that it looks for.
pub(super) const PAGE_ROWS: usize = 8192;

/// Bytes of a page's values at which it is full.
pub(super) const PAGE_BYTES: usize = 1 << 20;

/// A worker's compressor and its buffers, kept from page to page.
pub(super) struct Codec {
    compressor: Compressor<'static>,
    level: ZstdLevel,
    body: Vec<u8>,
    packed: Vec<u8>,
    /// For the page of a chunk's dictionary.
    front: Vec<u8>,
}

impl Codec {
    pub(super) fn new(level: ZstdLevel) -> Result<Codec> {
        let mut compressor = Compressor::new(level.compression_level())?;
        if level.compression_level() == 1 {
            // A table of matches that fits into the first cache: a sixth faster, and no larger.
            compressor.set_parameter(CParameter::HashLog(13))?;
            compressor.set_parameter(CParameter::WindowLog(20))?;
        }
        Ok(Codec { compressor, level, body: Vec::new(), packed: Vec::new(), front: Vec::new() })
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("level", &self.level).finish_non_exhaustive()
    }
}

/// Compresses the content of a page and writes the page that `page` makes of it. `packed` is the memory for that.
fn write_page(
    pages: &mut TrackedWrite<Vec<u8>>,
    compressor: &mut Compressor<'static>,
    packed: &mut Vec<u8>,
    content: &[u8],
    page: impl FnOnce(Bytes) -> Page,
) -> Result<PageWriteSpec> {
    packed.clear();
    packed.reserve(zstd::zstd_safe::compress_bound(content.len()));
    compressor.compress_to_buffer(content, packed)?;
    let lent = Bytes::from(std::mem::take(packed));
    let page = CompressedPage::new(page(lent.clone()), content.len());
    let written = SerializedPageWriter::new(pages).write_page(page)?;
    // The page is gone, so this gives the same memory back.
    *packed = Vec::from(lent);
    Ok(written)
}

/// How rows and values of a column relate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value a row.
    Required,
    /// One or none.
    Optional,
    /// Any number.
    Repeated,
}

/// The least and the greatest value of a page.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) least: Vec<u8>,
    pub(super) greatest: Vec<u8>,
    /// Whether both are at or above those of the page before.
    pub(super) ascending: bool,
}

/// A chunk that is ready to be put into a file.
pub(super) struct Chunk {
    pub(super) bytes: Bytes,
    pub(super) close: ColumnCloseResult,
}

/// Puts pages together.
pub(super) struct ChunkWriter {
    descriptor: ColumnDescPtr,
    shape: Shape,
    definitions: Levels,
    repetitions: Levels,
    /// Rows of the page under way.
    rows: usize,
    pages: TrackedWrite<Vec<u8>>,
    data_pages: Vec<(Encoding, i32)>,
    total_rows: u64,
    total_values: i64,
    total_nulls: u64,
    uncompressed: usize,
    offsets: OffsetIndexBuilder,
    index: ColumnIndexBuilder,
    indexed: bool,
    ascending: bool,
}

impl ChunkWriter {
    /// `indexed`: whether pages come with [`Bounds`]. `pages`: empty memory for the chunk's bytes.
    pub(super) fn new(descriptor: ColumnDescPtr, shape: Shape, indexed: bool, pages: Vec<u8>) -> ChunkWriter {
        ChunkWriter {
            index: ColumnIndexBuilder::new(descriptor.physical_type()),
            descriptor,
            shape,
            definitions: Levels::default(),
            repetitions: Levels::default(),
            rows: 0,
            pages: TrackedWrite::new(pages),
            data_pages: Vec::new(),
            total_rows: 0,
            total_values: 0,
            total_nulls: 0,
            uncompressed: 0,
            offsets: OffsetIndexBuilder::new(),
            indexed,
            ascending: true,
        }
    }

    /// Adds a row of `values` values, as many as the shape allows.
    #[inline]
    pub(super) fn row(&mut self, values: usize) {
        self.rows += 1;
        match self.shape {
            Shape::Required => {}
            Shape::Optional => self.definitions.push(values > 0),
            Shape::Repeated => {
                self.definitions.push(values > 0);
                self.repetitions.push(false);
                let further = values.saturating_sub(1);
                self.definitions.push_many(true, further);
                self.repetitions.push_many(true, further);
            }
        }
    }

    /// Rows of the page under way.
    pub(super) fn page_rows(&self) -> usize {
        self.rows
    }

    pub(super) fn total_nulls(&self) -> u64 {
        self.total_nulls
    }

    /// Ends the page under way. `values` are its values, encoded; `bounds` is missing if no value is there.
    pub(super) fn end_page(
        &mut self,
        encoding: Encoding,
        values: &[u8],
        bounds: Option<Bounds>,
        codec: &mut Codec,
    ) -> Result<()> {
        let count = if self.shape == Shape::Required { self.rows } else { self.definitions.len() };
        let nulls = self.definitions.zeros();
        let num_values = u32::try_from(count).map_err(|_| too_large())?;
        let Codec { compressor, body, packed, .. } = codec;
        let whole = if self.shape == Shape::Required {
            values
        } else {
            body.clear();
            if self.shape == Shape::Repeated {
                self.repetitions.write(body);
            }
            self.definitions.write(body);
            body.extend_from_slice(values);
            body
        };
        let page = |buf| Page::DataPage {
            buf,
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = write_page(&mut self.pages, compressor, packed, whole, page)?;
        self.uncompressed += written.uncompressed_size;
        let size = i32::try_from(written.compressed_size).map_err(|_| too_large())?;
        self.offsets.append_row_count(self.rows as i64);
        self.offsets.append_offset_and_size(written.offset as i64, size);
        if self.indexed {
            let nans = (self.descriptor.physical_type() == parquet::basic::Type::DOUBLE).then_some(0);
            let (least, greatest, empty) = match bounds {
                Some(bounds) => {
                    self.ascending &= bounds.ascending;
                    (bounds.least, bounds.greatest, false)
                }
                None => (Vec::new(), Vec::new(), true),
            };
            self.index.append(empty, least, greatest, nulls as i64, nans);
        }
        match self.data_pages.last_mut() {
            Some((last, pages)) if *last == encoding => *pages += 1,
            _ => self.data_pages.push((encoding, 1)),
        }
        self.total_rows += self.rows as u64;
        self.total_values += count as i64;
        self.total_nulls += nulls as u64;
        self.rows = 0;
        self.definitions.clear();
        self.repetitions.clear();
        Ok(())
    }

    /// Ends the page of plain values if it is full, and empties `values` then.
    #[inline]
    pub(super) fn end_plain_page_if_full(&mut self, values: &mut Vec<u8>, codec: &mut Codec) -> Result<()> {
        let full = values.len() >= PAGE_BYTES || self.rows >= PAGE_ROWS;
        if full { self.end_plain_page(values, codec) } else { Ok(()) }
    }

    /// Ends the page of plain values, without bounds, if it has rows.
    pub(super) fn end_plain_page(&mut self, values: &mut Vec<u8>, codec: &mut Codec) -> Result<()> {
        if self.rows > 0 {
            self.end_page(Encoding::PLAIN, values, None, codec)?;
            values.clear();
        }
        Ok(())
    }

    /// Ends the chunk. `dictionary`: the values that pages in that encoding point to, and how many there are.
    pub(super) fn finish(
        mut self,
        dictionary: Option<(&[u8], usize)>,
        statistics: Option<Statistics>,
        bloom_filter: Option<Sbbf>,
        codec: &mut Codec,
    ) -> Result<Chunk> {
        codec.front.clear();
        let mut front = TrackedWrite::new(std::mem::take(&mut codec.front));
        let mut encodings = vec![Encoding::RLE];
        let mut stats = Vec::new();
        if let Some((values, count)) = dictionary {
            let num_values = u32::try_from(count).map_err(|_| too_large())?;
            let page = |buf| Page::DictionaryPage { buf, num_values, encoding: Encoding::PLAIN, is_sorted: false };
            let written = write_page(&mut front, &mut codec.compressor, &mut codec.packed, values, page)?;
            self.uncompressed += written.uncompressed_size;
            encodings.push(Encoding::PLAIN);
            stats.push(PageEncodingStats { page_type: PageType::DICTIONARY_PAGE, encoding: Encoding::PLAIN, count: 1 });
        }
        for (encoding, count) in self.data_pages {
            encodings.push(encoding);
            stats.push(PageEncodingStats { page_type: PageType::DATA_PAGE, encoding, count });
        }
        codec.front = front.into_inner()?;
        let bytes = put_in_front(&codec.front, self.pages.into_inner()?);
        let front = codec.front.len() as i64;
        let mut metadata = ColumnChunkMetaData::builder(self.descriptor)
            .set_compression(Compression::ZSTD(codec.level))
            .set_encodings_mask(EncodingMask::new_from_encodings(encodings.iter()))
            .set_page_encoding_stats(stats)
            .set_total_compressed_size(bytes.len() as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .set_num_values(self.total_values)
            .set_data_page_offset(front)
            .set_dictionary_page_offset(dictionary.map(|_| 0));
        if let Some(statistics) = statistics {
            metadata = metadata.set_statistics(statistics);
        }
        self.index.set_boundary_order(if self.ascending { BoundaryOrder::ASCENDING } else { BoundaryOrder::UNORDERED });
        let mut offsets = self.offsets.build();
        offsets.page_locations.iter_mut().for_each(|location| location.offset += front);
        let close = ColumnCloseResult {
            bytes_written: bytes.len() as u64,
            rows_written: self.total_rows,
            metadata: metadata.build()?,
            bloom_filter,
            column_index: if self.indexed { Some(self.index.build()?) } else { None },
            offset_index: Some(offsets),
        };
        Ok(Chunk { bytes: Bytes::from(bytes), close })
    }
}

/// Puts bytes in front of others, in the memory of these.
fn put_in_front(front: &[u8], mut bytes: Vec<u8>) -> Vec<u8> {
    let behind = bytes.len();
    bytes.extend_from_slice(front);
    bytes.copy_within(..behind, front.len());
    bytes[..front.len()].copy_from_slice(front);
    bytes
}

fn too_large() -> ParquetError {
    ParquetError::General("a page is larger than Parquet allows".to_owned())
}
