//! A file read in pages, of which the last used ones are kept.
//!
//! At first it is the file itself, and each page is read only if nobody has written to the file since it was opened.
//! From [`Pages::settle`] on it is a private copy without a name, which nobody can write to or cut: the file may be
//! overwritten in place then, and what was read before stays whole. A start does not wait for the copy that way, and a
//! run of a second makes none. A mapped file would be simpler still, but one that somebody truncates kills the process,
//! and mapping takes `unsafe`.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::cache::Cache;
use super::stamp::Stamp;

/// Bytes of a page.
const PAGE: u64 = 4096;
/// How many pages are kept, twice: 8 MiB.
const KEPT: usize = 1024;

#[derive(Debug)]
pub(super) struct Pages {
    source: Source,
    len: u64,
    kept: Cache<u64, Box<[u8]>>,
}

#[derive(Debug)]
struct Source {
    file: File,
    /// As the file was when it was opened; `None` for a private copy.
    shared: Option<Stamp>,
}

impl Pages {
    /// The pages of a file.
    ///
    /// # Errors
    /// If the system does not tell its size.
    pub(super) fn of(file: File) -> io::Result<Pages> {
        let stamp = Stamp::of_file(&file)?;
        Ok(Pages { len: stamp.len(), source: Source { file, shared: Some(stamp) }, kept: Cache::new(KEPT) })
    }

    /// Goes on with a copy in `folder` that is gone when this process is. Does nothing if there is one already.
    ///
    /// # Errors
    /// If the file was written to since it was opened, or cannot be read, or `folder` takes no more.
    pub(super) fn settle(&mut self, folder: &Path) -> io::Result<()> {
        if self.source.shared.is_none() {
            return Ok(());
        }
        let mut copy = tempfile::tempfile_in(folder)?;
        self.source.file.seek(SeekFrom::Start(0))?;
        io::copy(&mut Read::by_ref(&mut self.source.file).take(self.len), &mut copy)?;
        self.source.check()?;
        self.source = Source { file: copy, shared: None };
        Ok(())
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Fills `buffer` with the bytes that begin at `at`.
    ///
    /// # Errors
    /// If there are fewer, if the disk does not give them, or if somebody has written to the file before it settled.
    pub(super) fn read(&mut self, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            let number = at / PAGE;
            let page = self.kept.try_get(number, || self.source.load(number * PAGE))?;
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

impl Source {
    /// The page at `start`; the last one of a file may be shorter than others.
    fn load(&mut self, start: u64) -> io::Result<Box<[u8]>> {
        self.file.seek(SeekFrom::Start(start))?;
        let mut page = Vec::with_capacity(PAGE as usize);
        Read::by_ref(&mut self.file).take(PAGE).read_to_end(&mut page)?;
        self.check()?;
        Ok(page.into())
    }

    fn check(&self) -> io::Result<()> {
        match self.shared {
            Some(stamp) if Stamp::of_file(&self.file)? != stamp => {
                Err(io::Error::other("somebody has written to the file since it was opened"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
impl Pages {
    /// Pages with that content.
    pub(super) fn with(content: &[u8]) -> Pages {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, content).unwrap();
        Pages::of(file).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_across_pages_and_not_past_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let bytes: Vec<u8> = (0..3 * PAGE + 10).map(|index| (index % 251) as u8).collect();
        let mut pages = Pages::with(&bytes);
        for settled in [false, true] {
            if settled {
                pages.settle(folder.path()).unwrap();
                pages.kept = Cache::new(KEPT);
            }
            assert_eq!(pages.len(), bytes.len() as u64);
            for (at, count) in [(0, 1), (PAGE - 1, 2), (10, 2 * PAGE as usize), (3 * PAGE + 9, 1), (0, bytes.len())] {
                let mut found = vec![0; count];
                pages.read(at, &mut found).unwrap();
                assert_eq!(found, bytes[at as usize..at as usize + count]);
            }
            for at in [3 * PAGE + 9, 3 * PAGE + 10, 4 * PAGE, 1 << 40] {
                assert_eq!(pages.read(at, &mut [0; 2]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_is_read_as_it_was_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let open = || {
            std::fs::write(&path, [1; 2 * PAGE as usize]).unwrap();
            Pages::of(File::open(&path).unwrap()).unwrap()
        };
        let (mut shared, mut settled) = (open(), open());
        settled.settle(folder.path()).unwrap();
        std::fs::write(&path, [2; 10]).unwrap();
        assert!(shared.read(0, &mut [0]).is_err() && shared.settle(folder.path()).is_err());
        let mut found = [0; 2];
        settled.read(PAGE - 1, &mut found).unwrap();
        assert_eq!(found, [1; 2]);
    }
}
