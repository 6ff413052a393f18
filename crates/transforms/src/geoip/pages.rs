//! A file read in pages, of which the last used ones are kept.
//!
//! It is a private copy without a name, which nobody else can write to or cut. The file it was copied from may be
//! overwritten in place meanwhile. A mapped file would be simpler still, but one that somebody truncates kills the
//! process, and mapping takes `unsafe`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::cache::Cache;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// How many pages are kept, twice: 8 MiB.
const KEPT: usize = 1024;

#[derive(Debug)]
pub(super) struct Pages {
    file: File,
    len: u64,
    kept: Cache<u64, Box<[u8]>>,
}

impl Pages {
    /// Copies all of `source` into a file in `folder` that is gone when this process is.
    ///
    /// # Errors
    /// If it cannot be read, or `folder` takes no more.
    pub(super) fn copy(mut source: impl Read, folder: &Path) -> io::Result<Pages> {
        let mut file = tempfile::tempfile_in(folder)?;
        let len = io::copy(&mut source, &mut file)?;
        Ok(Pages { file, len, kept: Cache::new(KEPT) })
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` with the bytes that begin at `at`.
    ///
    /// # Errors
    /// If there are fewer, or the disk does not give them.
    pub(super) fn read(&mut self, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let number = at / PAGE;
            let page = self.kept.try_get(number, || load(&mut self.file, number * PAGE))?;
            let rest = page.get((at % PAGE) as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let (now, later) = std::mem::take(&mut buffer).split_at_mut(count);
            now.copy_from_slice(&rest[..count]);
            buffer = later;
            at += count as u64;
        }
        Ok(())
    }
}

/// The page at `start`; the last one of a file may be shorter than others.
fn load(file: &mut File, start: u64) -> io::Result<Box<[u8]>> {
    file.seek(SeekFrom::Start(start))?;
    let mut page = Vec::with_capacity(PAGE as usize);
    file.take(PAGE).read_to_end(&mut page)?;
    Ok(page.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_pages_and_not_past_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3 * PAGE + 10).map(|index| (index % 251) as u8).collect();
        let mut pages = Pages::copy(bytes.as_slice(), folder.path()).unwrap();
        assert_eq!(pages.len(), bytes.len() as u64);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        for (at, count) in [(0, 1), (PAGE - 1, 2), (10, 2 * PAGE as usize), (3 * PAGE + 9, 1), (0, bytes.len())] {
            let mut found = vec![0; count];
            pages.read(at, &mut found).unwrap();
            assert_eq!(found, bytes[at as usize..at as usize + count]);
        }
        for at in [3 * PAGE + 9, 3 * PAGE + 10, 4 * PAGE, 1 << 40] {
            assert_eq!(pages.read(at, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
