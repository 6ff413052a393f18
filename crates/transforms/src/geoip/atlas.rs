//! The databases of a `geoip`, shared by all workers, and read again when their files change.
//!
//! Files are looked at between batches, at most once in an interval, by whichever worker comes first; the others go
//! on with what there is. Copying 60 MB takes some 40 ms, once a week: not worth a thread of its own. A file that has
//! become unreadable changes nothing but a counter.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use downspout_core::metrics::ComponentMetrics;

use super::database::{Database, Loaded, stamp};
use crate::clock::Clock;

/// What lookups go through, in order.
pub(super) type Databases = Vec<Arc<Database>>;

#[derive(Debug)]
pub(super) struct Atlas {
    current: RwLock<Arc<Databases>>,
    watch: Mutex<Watch>,
    /// Where the copies lie.
    folder: PathBuf,
    interval: Duration,
    clock: Clock,
    metrics: ComponentMetrics,
}

#[derive(Debug)]
struct Watch {
    files: Vec<Loaded>,
    next: Duration,
}

impl Atlas {
    /// Opens all files, with private copies in `folder`.
    ///
    /// # Errors
    /// What is wrong with the first that cannot be used.
    pub(super) fn open(
        paths: Vec<PathBuf>,
        folder: PathBuf,
        interval: Duration,
        clock: Clock,
        metrics: ComponentMetrics,
    ) -> Result<Atlas, String> {
        // Large files, and the pipeline waits for them.
        let files = std::thread::scope(|scope| {
            let open = |path| scope.spawn(|| Loaded::open(path, &folder));
            let reading: Vec<_> = paths.into_iter().map(open).collect();
            let died = |_| Err("the reader of a location database died".to_owned());
            reading.into_iter().map(|file| file.join().unwrap_or_else(died)).collect::<Result<Vec<_>, _>>()
        })?;
        let watch = Watch { next: clock.now() + interval, files };
        let current = RwLock::new(watch.databases());
        Ok(Atlas { current, watch: Mutex::new(watch), folder, interval, clock, metrics })
    }

    /// The databases as they are now. Looks at the files if that is due.
    pub(super) fn current(&self) -> Arc<Databases> {
        // Who does not get the lock is not the one to look.
        if let Ok(mut watch) = self.watch.try_lock() {
            let now = self.clock.now();
            if now >= watch.next {
                watch.next = now + self.interval;
                self.look(&mut watch);
            }
        }
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, watch: &mut Watch) {
        let mut changed = false;
        for file in &mut watch.files {
            let found = stamp(&file.path);
            if found == file.stamp {
                continue;
            }
            match Loaded::open(file.path.clone(), &self.folder) {
                Ok(loaded) => {
                    tracing::info!(path = %loaded.path.display(), "the location database changed and was read again");
                    *file = loaded;
                    changed = true;
                }
                Err(error) => {
                    // Told once for each change of the file.
                    file.stamp = found;
                    self.metrics.error("reload");
                    tracing::warn!("{error}; going on with the one read before");
                }
            }
        }
        if changed {
            *self.current.write().unwrap_or_else(PoisonError::into_inner) = watch.databases();
        }
    }
}

impl Watch {
    fn databases(&self) -> Arc<Databases> {
        Arc::new(self.files.iter().map(|file| Arc::clone(&file.database)).collect())
    }
}
