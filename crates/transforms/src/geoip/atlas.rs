//! The databases of a `geoip`, shared by all workers, and read again when their files change.
//!
//! Files are looked at between batches, at most once in an interval, by whichever worker comes first; the others go
//! on with what there is. Copying 60 MB takes some 40 ms, once a week: not worth a thread of its own. It is done when a
//! database has been in use for [`SETTLED_AFTER`], so that no start waits for it. A file that has become unreadable
//! changes nothing but a counter.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use downspout_core::metrics::ComponentMetrics;

use super::database::{Database, Loaded};
use super::stamp::Stamp;
use crate::clock::Clock;

/// What lookups go through, in order.
pub(super) type Databases = Vec<Arc<Database>>;

/// How long a file is read itself before a copy of it is. An update that overwrites it in place would take locations away
/// until it is complete.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

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
    /// When copies are to be made; `None` if there are.
    settle: Option<Duration>,
}

impl Atlas {
    /// Opens all files. Their copies will lie in `folder`.
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
        // The pipeline waits for them.
        let files = std::thread::scope(|scope| {
            let open = |path| scope.spawn(|| Loaded::open(path));
            let reading: Vec<_> = paths.into_iter().map(open).collect();
            let died = |_| Err("the reader of a location database died".to_owned());
            reading.into_iter().map(|file| file.join().unwrap_or_else(died)).collect::<Result<Vec<_>, _>>()
        })?;
        let now = clock.now();
        let watch = Watch { next: now + interval, settle: Some(now + SETTLED_AFTER), files };
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
                self.look(&mut watch, now);
            }
            if watch.settle.is_some_and(|due| now >= due) {
                self.settle(&mut watch, now);
            }
        }
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn look(&self, watch: &mut Watch, now: Duration) {
        let mut changed = false;
        for file in &mut watch.files {
            let found = Stamp::of_path(&file.path);
            if found == file.stamp {
                continue;
            }
            match Loaded::open(file.path.clone()) {
                Ok(loaded) => {
                    tracing::info!(path = %loaded.path.display(), "the location database changed and was read again");
                    *file = loaded;
                    changed = true;
                    watch.settle = Some(now + SETTLED_AFTER);
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

    /// Makes the copies that are missing.
    fn settle(&self, watch: &mut Watch, now: Duration) {
        watch.settle = None;
        for file in &watch.files {
            if let Err(error) = file.database.settle(&self.folder) {
                watch.settle = Some(now + self.interval);
                self.metrics.error("reload");
                tracing::warn!("{error}");
            }
        }
        if watch.settle.is_some() {
            // If that was because somebody has written to a file, it is opened anew at once.
            self.look(watch, now);
        }
    }
}

impl Watch {
    fn databases(&self) -> Arc<Databases> {
        Arc::new(self.files.iter().map(|file| Arc::clone(&file.database)).collect())
    }
}
