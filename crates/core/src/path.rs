//! Paths as configs write them, made comparable.

use std::path::{Component, Path, PathBuf};

/// The path from the root, without `.`, `..` and links, as far as its folders exist. Two paths that lead to one file
/// give the same; hard links, and links that come later, are beyond this.
pub fn resolve(path: &Path) -> PathBuf {
    // Without a working directory the path is compared as it is written.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(resolved.pop()),
            Component::Normal(name) => {
                resolved.push(name);
                resolved = resolved.canonicalize().unwrap_or(resolved);
            }
            start => resolved.push(start),
        }
    }
    resolved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_one_file_give_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("real/inner")).unwrap();
        let expected = root.join("real/out.ndjson");
        for way in
            ["real/out.ndjson", "./real/./out.ndjson", "real/inner/../out.ndjson", "real/not/there/../../out.ndjson"]
        {
            assert_eq!(resolve(&root.join(way)), expected, "{way}");
        }
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("real/inner", root.join("link")).unwrap();
            assert_eq!(resolve(&root.join("link/../out.ndjson")), expected);
        }
        assert_eq!(resolve(Path::new("out")), std::env::current_dir().unwrap().canonicalize().unwrap().join("out"));
        assert_ne!(resolve(Path::new("a/out")), resolve(Path::new("b/out")));
        assert_eq!(resolve(Path::new("/../..")), Path::new("/"));
    }
}
