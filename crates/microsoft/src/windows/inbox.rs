//! An answer on its way in: its beginning in memory, the rest in a file without a name.
//!
//! How fast an answer comes is the service's matter, and one that trickles takes minutes. If it kept a place in memory
//! for that long, a few broken tenants would keep all places, and everybody else waiting. So whole answers only are
//! in memory, a few at once; what is still under way takes next to none, however many tenants there are.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// How much of an answer that is under way is in memory.
const IN_MEMORY: usize = 64 << 10;

/// An answer of which more may come.
#[derive(Debug)]
pub(super) struct Inbox<'f> {
    folder: &'f Path,
    start: Vec<u8>,
    rest: Option<File>,
    length: usize,
}

impl<'f> Inbox<'f> {
    /// An empty one. Its file, if it needs one, lies in `folder`, and is gone when this process is.
    pub(super) fn new(folder: &'f Path) -> Inbox<'f> {
        Inbox { folder, start: Vec::new(), rest: None, length: 0 }
    }

    /// How many bytes have come.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Takes what has come.
    ///
    /// # Errors
    /// If the disk takes no more.
    pub(super) fn push(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.length += chunk.len();
        if self.length <= IN_MEMORY {
            self.start.extend_from_slice(chunk);
            return Ok(());
        }
        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => none.insert(tempfile::tempfile_in(self.folder)?),
        };
        rest.write_all(chunk)
    }

    /// The whole answer.
    ///
    /// # Errors
    /// If the disk does not give it back.
    pub(super) fn whole(self) -> io::Result<Vec<u8>> {
        let mut text = self.start;
        if let Some(mut rest) = self.rest {
            text.reserve_exact(self.length - text.len());
            rest.rewind()?;
            rest.read_to_end(&mut text)?;
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_every_size_come_out_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        for (chunk, count) in [(0, 0), (7, 9), (IN_MEMORY, 1), (1000, 200), (IN_MEMORY + 1, 3)] {
            let mut inbox = Inbox::new(folder.path());
            let sent: Vec<u8> = (0..chunk * count).map(|index| (index % 251) as u8).collect();
            for piece in sent.chunks(chunk.max(1)) {
                inbox.push(piece).unwrap();
            }
            assert!(inbox.start.len() <= IN_MEMORY);
            assert_eq!(inbox.len(), sent.len());
            assert_eq!(inbox.whole().unwrap(), sent);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let gone = folder.path().join("gone");
        assert!(Inbox::new(&gone).push(&vec![0; IN_MEMORY + 1]).is_err());
    }
}
