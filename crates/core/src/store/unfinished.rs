//! A store whose making was cut short.
//!
//! redb makes a file in steps and puts its mark into it at last, so that a file with the mark is whole. Whoever was
//! killed in between leaves a file that redb takes for somebody else's. Nothing was ever stored in that, and it can be
//! made anew.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Where the mark stands in front, and how long the header is that it belongs to (redb's `header.rs`).
const MARK: usize = 9;
const HEADER: usize = 320;

/// A new file is a little larger than 1 MiB, and nothing but its header is written.
const NEW_BYTES: u64 = 2 << 20;

/// Empties the file if it is one of these, so that it can be made anew. Says whether it was.
///
/// It stays the same file, and is locked meanwhile: of two processes that find it, one has it in the end.
pub(super) fn empty(path: &Path) -> io::Result<bool> {
    let file = File::options().read(true).write(true).open(path)?;
    if file.metadata()?.len() > NEW_BYTES || file.try_lock().is_err() {
        return Ok(false);
    }
    let mut content = Vec::new();
    (&file).take(NEW_BYTES).read_to_end(&mut content)?;
    let is_blank = |part: &[u8]| part.iter().all(|byte| *byte == 0);
    let marked = !is_blank(&content[..content.len().min(MARK)]);
    let used = !is_blank(&content[content.len().min(HEADER)..]);
    if marked || used {
        return Ok(false);
    }
    file.set_len(0)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use crate::store::{FILE_NAME, Store, StoreError};

    /// What is in the way of a store, and whether it is made nevertheless.
    fn opens_over(content: &[u8]) -> bool {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, content).unwrap();
        match Store::open(dir.path()) {
            Ok(store) => {
                store.write_all(&[]).unwrap();
                true
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Open { .. }), "{error}");
                assert_eq!(std::fs::read(&path).unwrap(), content, "what is not ours is left alone");
                false
            }
        }
    }

    #[test]
    fn a_store_that_was_cut_short_is_made_anew_and_nothing_else_is() {
        let mut cut_short = vec![0; 1_056_768];
        assert!(opens_over(&cut_short), "its length was set");
        cut_short[9..40].fill(7);
        assert!(opens_over(&cut_short), "its header was written, without the mark");
        assert!(opens_over(&cut_short[..100]));
        assert!(opens_over(b""));
        cut_short[700_000] = 1;
        assert!(!opens_over(&cut_short), "it was used, and lost its mark");
        assert!(!opens_over(&vec![0; 3 << 20]));
        assert!(!opens_over(b"notes of mine"));
        assert!(!opens_over(b"redb"));
    }

    #[test]
    fn a_store_that_another_process_is_making_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);
        std::fs::write(&path, [0; 1000]).unwrap();
        let other = std::fs::File::open(&path).unwrap();
        other.lock().unwrap();
        assert!(!super::empty(&path).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), [0; 1000]);
        assert!(matches!(Store::open(dir.path()), Err(StoreError::InUse(_))));
    }
}
