//! Takes a snapshot of one tenant: list after list, page after page.
//!
//! A page's objects are journalled together with the link to the next page, so that an interrupted snapshot goes on at
//! the page where it stood. A link that has expired meanwhile starts its list over.

use downspout_core::stage::{Closed, Output};
use downspout_core::store::{StoreError, Write, key};
use downspout_core::{Context, StageError};
use futures::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::lists::{List, Objects, lists};
use super::splice::{array, splice};
use crate::client::{Api, Request, Trouble, Verdict};
use crate::cloud::Service;
use crate::config::Connection;
use crate::journal::Journal;
use crate::ledger::{Gap, Ledger, Reason};
use crate::windows::envelope::{Broken, document, elements, string};

/// The feed's name in shards and ledgers.
pub(super) const FEED: &str = "snapshot";

/// How many objects are asked about at once.
const AT_ONCE: usize = 8;

/// A list of one object's parts has no more pages than that.
const MOST_PAGES: usize = 100;

/// How far a snapshot has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// When it was begun: the time that its objects bear.
    taken: Timestamp,
    /// The list that is under way, counted from 0.
    list: usize,
    /// Its next page, if the first one is past.
    next: Option<String>,
    finished: bool,
}

/// A snapshot under way.
#[derive(Debug)]
pub(super) struct Snapshot<'c> {
    context: &'c Context,
    connection: &'c Connection,
    lists: Vec<&'static List>,
    key: Vec<u8>,
    progress: Progress,
    ledger: Ledger,
    /// Parts that cannot be had: said once, and not asked for again.
    refused: Vec<&'static str>,
}

enum Halt {
    Trouble(Trouble),
    Stage(StageError),
    Closed,
}

impl From<StoreError> for Halt {
    fn from(error: StoreError) -> Halt {
        Halt::Stage(error.into())
    }
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Halt {
        Halt::Trouble(trouble)
    }
}

/// A page of a list.
struct Page {
    objects: Vec<Vec<u8>>,
    next: Option<String>,
}

impl<'c> Snapshot<'c> {
    /// Goes on with the snapshot that was interrupted, or begins one. `again`: a finished one is no reason not to.
    pub(super) fn open(
        context: &'c Context,
        connection: &'c Connection,
        objects: &[Objects],
        again: bool,
    ) -> Result<Snapshot<'c>, StageError> {
        let key = key(&[b"snapshot", context.id.as_bytes(), connection.tenant.id.as_bytes()]);
        let stored = context.store.get(&key)?.and_then(|value| serde_json::from_slice::<Progress>(&value).ok());
        let fresh = || {
            let taken = Timestamp::from_second(connection.client.service_now().as_second()).unwrap_or_default();
            Progress { taken, list: 0, next: None, finished: false }
        };
        let progress = stored.filter(|progress| !(progress.finished && again)).unwrap_or_else(fresh);
        let ledger = Ledger::load(&context.store, &context.id, &connection.tenant.id, FEED)?;
        Ok(Snapshot { context, connection, lists: lists(objects), key, progress, ledger, refused: Vec::new() })
    }

    /// Takes what is missing of the snapshot.
    pub(super) async fn take(&mut self, output: &Output) -> Result<(), StageError> {
        let shard = self.connection.tenant.shard(FEED);
        let mut journal = Journal::open(self.context.store.clone(), &self.context.id, &shard)?;
        if journal.replay(output).await?.is_err() {
            return Ok(());
        }
        match self.take_lists(&mut journal, output).await {
            Ok(()) | Err(Halt::Closed) => Ok(()),
            Err(Halt::Stage(error)) => Err(error),
            Err(Halt::Trouble(trouble)) => Err(trouble.at(&format!("tenant {}", self.connection.tenant.label()))),
        }
    }

    async fn take_lists(&mut self, journal: &mut Journal, output: &Output) -> Result<(), Halt> {
        let mut lost = None;
        while let Some(list) = self.lists.get(self.progress.list).copied() {
            match self.take_list(list, journal, output).await {
                Ok(()) => {}
                Err(Halt::Trouble(trouble)) if !trouble.is_transient() => {
                    self.miss(list.kind, &trouble, list.permission);
                    lost.get_or_insert(trouble);
                }
                Err(halt) => return Err(halt),
            }
            self.progress = Progress { list: self.progress.list + 1, next: None, ..self.progress.clone() };
            self.context.store.write_all(&[self.progress_write(), self.ledger.write()])?;
        }
        let taken = self.progress.taken;
        self.ledger.listed(taken, crate::clock::plus(taken, std::time::Duration::from_secs(1)));
        self.progress.finished = true;
        self.context.store.write_all(&[self.progress_write(), self.ledger.write()])?;
        match lost {
            Some(trouble) if self.ledger.open().filter(|gap| gap.start == taken).count() >= self.lists.len() => {
                Err(trouble.into())
            }
            _ => Ok(()),
        }
    }

    async fn take_list(&mut self, list: &'static List, journal: &mut Journal, output: &Output) -> Result<(), Halt> {
        loop {
            let resumed = self.progress.next.clone();
            let page = match self.page(list.api, resumed.as_deref().unwrap_or(list.path)).await {
                Err(trouble) if resumed.is_some() && matches!(trouble.status, Some(400 | 410)) => {
                    // The link has expired: from the beginning.
                    self.progress.next = None;
                    continue;
                }
                page => page?,
            };
            let mut records = Vec::with_capacity(page.objects.len());
            for some in page.objects.chunks(AT_ONCE) {
                let asked = join_all(some.iter().map(|object| self.parts_of(list, object))).await;
                for (object, parts) in some.iter().zip(asked) {
                    records.push(self.record(list, object, parts?));
                }
            }
            self.progress.next = page.next;
            let unit = journal.append(&records, vec![self.progress_write()])?;
            if let Some(unit) = unit {
                let at = self.progress.taken;
                self.ledger.unit(at, unit.sequence);
                journal.send(output, unit).await.map_err(|Closed| Halt::Closed)?;
            }
            journal.forget_acknowledged()?;
            if self.progress.next.is_none() {
                return Ok(());
            }
        }
    }

    /// The object with its parts, and a note of what it is.
    fn record(
        &mut self,
        list: &'static List,
        object: &[u8],
        parts: Vec<(&'static str, Result<Vec<u8>, Trouble>)>,
    ) -> Vec<u8> {
        let note = serde_json::json!({
            "kind": list.kind,
            "taken": self.progress.taken.to_string(),
            "tenantId": self.connection.tenant.id,
            "deleted": list.deleted,
        });
        let note = note.to_string();
        let mut members: Vec<(&str, &[u8])> = Vec::new();
        for (name, part) in &parts {
            match part {
                Ok(part) => members.push((name, part)),
                Err(trouble) if trouble.verdict == Verdict::Skip => {}
                Err(trouble) => self.miss(name, trouble, list.permission),
            }
        }
        members.push(("snapshot", note.as_bytes()));
        splice(object, &members)
    }

    /// What is asked about one object. Only trouble that passes is an error of the whole.
    async fn parts_of(
        &self,
        list: &'static List,
        object: &[u8],
    ) -> Result<Vec<(&'static str, Result<Vec<u8>, Trouble>)>, Trouble> {
        let Some(id) = id_of(object) else { return Ok(Vec::new()) };
        let mut parts = Vec::new();
        for (name, path) in list.parts.iter().filter(|(name, _)| !self.refused.contains(name)) {
            match self.whole_list(&format!("{}/{id}/{path}", list.object)).await {
                Err(trouble) if trouble.is_transient() => return Err(trouble),
                part => parts.push((*name, part)),
            }
        }
        Ok(parts)
    }

    /// All pages of a short list, as one JSON array.
    async fn whole_list(&self, path: &str) -> Result<Vec<u8>, Trouble> {
        let mut all = Vec::new();
        let mut next = Some(path.to_owned());
        let mut pages = 0;
        while let Some(path) = next.take().filter(|_| pages < MOST_PAGES) {
            let page = self.page(Api::GraphDirectory, &path).await?;
            all.extend(page.objects);
            next = page.next;
            pages += 1;
        }
        Ok(array(all.iter().map(Vec::as_slice)))
    }

    /// A page, by its path or by a link that Graph gave.
    async fn page(&self, api: Api, place: &str) -> Result<Page, Trouble> {
        let client = &self.connection.client;
        let url = if place.starts_with('/') {
            client
                .cloud()
                .url(Service::Graph, place)
                .map_err(|foreign| Trouble::new(Verdict::Stop, api, "no_service", foreign.to_string(), "see `cloud`"))?
        } else {
            client.accept(api, place)?
        };
        Ok(client.get_read(Request::get(api, url), |body| read_page(body)).await?.body)
    }

    /// Something cannot be had: a gap, told once.
    fn miss(&mut self, what: &'static str, trouble: &Trouble, permission: &str) {
        if self.refused.contains(&what) {
            return;
        }
        self.refused.push(what);
        let label = self.connection.tenant.label();
        tracing::warn!(component = %self.context.id, tenant = label, "{what}: {trouble}; it needs {permission}");
        let taken = self.progress.taken;
        let detail = format!("{what}: {trouble}");
        let reason = Reason::NotAvailable;
        self.ledger.gap(Gap { start: taken, end: taken, reason, detail, items: 1, filled_by: None });
    }

    fn progress_write(&self) -> Write {
        Write::set(self.key.clone(), serde_json::to_vec(&self.progress).unwrap_or_default())
    }
}

fn read_page(body: &[u8]) -> Result<Page, Broken> {
    let (mut objects, mut next) = (None, None);
    for (name, place) in document(body)? {
        match name.as_ref() {
            "value" => objects = Some(elements(body, place)?.into_iter().map(|place| body[place].to_vec()).collect()),
            "@odata.nextLink" => next = string(body, place).filter(|link| !link.is_empty()),
            _ => {}
        }
    }
    let objects = objects.ok_or(Broken { at: 0, what: "a list of objects in a member `value`" })?;
    Ok(Page { objects, next })
}

#[derive(Deserialize)]
struct WithId {
    id: String,
}

/// An object's id, if it can be part of a path.
fn id_of(object: &[u8]) -> Option<String> {
    let id = serde_json::from_slice::<WithId>(object).ok()?.id;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain.then_some(id)
}
