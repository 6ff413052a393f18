//! Graph's audit log queries: create, wait, read.
//!
//! A query takes minutes, and a tenant may create few of them a day. So its id stands in the store from the moment it
//! is known until its window is complete, and a query that runs is adopted again after a restart. What a finished
//! query gives is not to be trusted at once: pages hold fewer records than they say, come cut off, and two readings
//! have given different sets; [`super::passes`] is the answer to the last of these, and this module to the others.
//!
//! # What proves that a query was read whole
//! The service counts pages, and not queries: `@odata.count` of a page of records is how many that page holds (clients
//! compare just that), the pages' documentation promises no `$count`, and a query's `approximateReturnedRecordCount` is
//! called approximate by Microsoft itself. So a page that holds less than it counts is asked for again; that a query is
//! not cut off says `isRecordCountLimitExceeded`; and that no page was left out is proved by `passes` readings in a row
//! that gave the same records, which nothing else can. What is told as `counted` is the sum of the pages' counts.
//!
//! These readings are of one query: a tenant may create too few of them to ask everything twice. A query that ran over
//! too little would agree with itself. So a recovery, whose outcome closes gaps, creates a query for each reading.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use downspout_core::Store;
use downspout_core::store::{Write, key};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::filter::{Filters, UnknownTypes};
use super::record::graph_page;
use super::search::{Halt, Outcome};
use super::shelf::Pages;
use super::submissions::Submissions;
use crate::client::{Api, PoliteClient, Request, Trouble, Verdict};
use crate::clock::plus;
use crate::cloud::Service;
use crate::windows::Window;

/// How many records a page is asked to hold.
const PAGE: usize = 1000;

/// The first and the longest pause between looks at a running query.
const POLLS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// A query that runs longer is given up; clients have waited that long.
const LONGEST_QUERY: Duration = Duration::from_secs(8 * 3600);

/// How often a page that contradicts itself or is cut off is asked for again.
const PAGE_TRIES: u32 = 6;

/// How often a query that the service fails is created again.
const QUERY_TRIES: u32 = 4;

/// Where the queries of a shard stand in the store.
#[derive(Debug, Clone)]
pub(super) struct QueryStore {
    pub(super) store: Arc<Store>,
    pub(super) source: Arc<str>,
    pub(super) shard: String,
}

impl QueryStore {
    /// The key of a window's query: another filter is another query.
    fn key(&self, window: &Window, filters: &Filters) -> Vec<u8> {
        let body = filters.graph_body("", window).to_string();
        let what = digest(&SHA256, body.as_bytes());
        key(&[b"audit-query", self.source.as_bytes(), self.shard.as_bytes(), what.as_ref()])
    }
}

/// Searches by audit log queries.
#[derive(Debug)]
pub(crate) struct GraphSearch {
    client: PoliteClient,
    /// `beta` or `v1.0`.
    version: &'static str,
    filters: Filters,
    unknown: UnknownTypes,
    queries: QueryStore,
    submissions: Submissions,
}

impl GraphSearch {
    pub(super) fn new(
        client: PoliteClient,
        version: &'static str,
        filters: Filters,
        queries: QueryStore,
        submissions: Submissions,
    ) -> GraphSearch {
        GraphSearch { client, version, filters, unknown: UnknownTypes::default(), queries, submissions }
    }

    /// What is searched for.
    pub(super) fn filters(&self) -> &Filters {
        &self.filters
    }

    /// The record types that the service turned out not to know.
    pub(super) fn refused(&self) -> Vec<String> {
        self.unknown.names()
    }

    /// Reads everything in a window once.
    pub(super) async fn pass(&self, window: &Window, pages: &mut Pages<'_>) -> Result<Outcome, Halt> {
        let key = self.queries.key(window, &self.filters);
        for _ in 0..QUERY_TRIES {
            let id = match self.queries.store.get(&key)? {
                Some(id) => String::from_utf8_lossy(&id).into_owned(),
                None => match self.create(window, &key).await? {
                    Some(id) => id,
                    None => return Ok(Outcome::Whole { counted: Some(0) }),
                },
            };
            match self.wait(&id).await? {
                Finished::Whole => return self.read(&id, pages).await,
                Finished::TooLarge => {
                    self.forget(window)?;
                    return Ok(Outcome::TooLarge("more records than a query gives".to_owned()));
                }
                Finished::Gone(reason) => {
                    tracing::info!(tenant = self.client.tenant(), query = id, "{reason}; the query is created again");
                    self.forget(window)?;
                }
            }
        }
        Ok(Outcome::Broken(format!("{QUERY_TRIES} queries failed")))
    }

    /// The window is complete, or another query is needed: the next pass creates one.
    pub(super) fn forget(&self, window: &Window) -> Result<(), Halt> {
        Ok(self.queries.store.write_all(&[Write::remove(self.queries.key(window, &self.filters))])?)
    }

    /// Creates a query, and gives its id. `None` if there is nothing to ask for.
    async fn create(&self, window: &Window, key: &[u8]) -> Result<Option<String>, Halt> {
        let mut turn = self.submissions.turn(&self.client).await?;
        // A query that was created although its answer was lost costs one of the day's, and nothing else.
        let created = loop {
            let Some(types) = self.unknown.left(&self.filters) else { return Ok(None) };
            let record_types = types.into_iter().map(str::to_owned).collect();
            let filters = Filters { record_types, ..self.filters.clone() };
            let body = filters.graph_body(&format!("downspout {window}"), window);
            match self.client.post_json(Request::post(Api::GraphAuditQuery, self.url("")?), &body).await {
                Ok(created) => break created.body,
                Err(trouble) if self.unknown.learn(&filters, &trouble, self.client.tenant()) => {}
                Err(trouble) => return Err(self.unknown.explain(&self.filters, self.explain(trouble)).into()),
            }
        };
        let id = created.get("id").and_then(Value::as_str).filter(|id| is_id(id)).ok_or_else(|| {
            let told = created.to_string();
            Trouble::new(Verdict::Retry, Api::GraphAuditQuery, "no_id", told, "the query was created without an id")
        })?;
        let writes = [Write::set(key.to_vec(), id), turn.taken(self.client.clock().now())];
        self.queries.store.write_all(&writes)?;
        Ok(Some(id.to_owned()))
    }

    /// Waits until a query has finished.
    async fn wait(&self, id: &str) -> Result<Finished, Halt> {
        let clock = self.client.clock();
        let deadline = plus(clock.now(), LONGEST_QUERY);
        let mut pause = POLLS.0;
        loop {
            let url = self.url(&format!("/{id}"))?;
            // Time-outs and 502 are common here, and mean nothing: the query runs on.
            let query = match self.client.get_json(Request::get(Api::GraphAuditQuery, url).attempts(12)).await {
                Ok(answer) => answer.body,
                Err(trouble) if trouble.status == Some(404) => {
                    return Ok(Finished::Gone("the service does not know the query any more".to_owned()));
                }
                Err(trouble) => return Err(self.explain(trouble).into()),
            };
            let flag = |name: &str| query.get(name).and_then(Value::as_bool).unwrap_or(false);
            match query.get("status").and_then(Value::as_str).unwrap_or_default() {
                "succeeded" if flag("isRecordCountLimitExceeded") => return Ok(Finished::TooLarge),
                "succeeded" => return Ok(Finished::Whole),
                status @ ("failed" | "cancelled") => {
                    return Ok(Finished::Gone(format!("the service says that the query {status}")));
                }
                _ => {}
            }
            if clock.now() >= deadline {
                return Ok(Finished::Gone(format!("the query has run for {} hours", LONGEST_QUERY.as_secs() / 3600)));
            }
            clock.sleep(pause).await;
            pause = (pause * 3 / 2).min(POLLS.1);
        }
    }

    /// Reads the records of a finished query.
    async fn read(&self, id: &str, pages: &mut Pages<'_>) -> Result<Outcome, Halt> {
        let mut url = self.url(&format!("/{id}/records?$top={PAGE}"))?;
        let mut followed = HashSet::new();
        let (mut records, mut doubt, mut counted) = (0_u64, None, Some(0));
        loop {
            if !followed.insert(url.to_string()) {
                return Ok(Outcome::Broken("a page's link leads back to an earlier page".to_owned()));
            }
            let mut tries = 0;
            let page = loop {
                tries += 1;
                let answer = self.client.get(Request::get(Api::GraphAuditQuery, url.clone())).await;
                let page = graph_page(&answer.map_err(|trouble| self.explain(trouble))?.body);
                match page {
                    // What the service counts may be the page or the whole; only a page that is neither is wrong.
                    Ok(page) if page.count.is_none_or(|count| count == page.len()) => break page,
                    Ok(page) if tries >= PAGE_TRIES => {
                        let count = page.count.unwrap_or_default();
                        let told = format!("a page said that it holds {count} records, and held {}", page.len());
                        let (known, _) = doubt.unwrap_or((0, String::new()));
                        doubt = Some((count.max(known), told));
                        break page;
                    }
                    Err(broken) if tries >= PAGE_TRIES => return Ok(Outcome::Broken(broken.to_string())),
                    Ok(_) | Err(_) => self.client.clock().sleep(Duration::from_secs(1)).await,
                }
            };
            records += page.len();
            counted = counted.zip(page.count).map(|(counted, count)| counted + count);
            let next = page.next_link;
            pages.take(page.found).await?;
            match next {
                Some(link) => match self.client.accept(Api::GraphAuditQuery, &link) {
                    Ok(next) => url = next,
                    Err(foreign) => return Ok(Outcome::Broken(foreign.to_string())),
                },
                None => break,
            }
        }
        match doubt {
            Some((whole, reason)) if whole != records => Ok(Outcome::Broken(reason)),
            // Every page counted the whole.
            Some((whole, _)) => Ok(Outcome::Whole { counted: Some(whole) }),
            None => Ok(Outcome::Whole { counted }),
        }
    }

    fn url(&self, rest: &str) -> Result<url::Url, Trouble> {
        let path = format!("/{}/security/auditLog/queries{rest}", self.version);
        self.client.cloud().url(Service::Graph, &path).map_err(|foreign| {
            let meaning = "audit log queries are in Microsoft Graph; see `cloud`";
            Trouble::new(Verdict::Stop, Api::GraphAuditQuery, "no_service", foreign.to_string(), meaning)
        })
    }

    /// Adds what is known of this API's own refusals.
    fn explain(&self, trouble: Trouble) -> Trouble {
        if trouble.status == Some(404) {
            let other = if self.version == "beta" { "v1.0" } else { "beta" };
            let meaning = format!(
                "Microsoft does not serve audit log queries under /{} to this tenant; set `graph_version: {other}`, or \
                 `backend: exchange`",
                self.version
            );
            return Trouble { verdict: Verdict::Stop, meaning, ..trouble };
        }
        trouble
    }
}

/// How a query ended.
enum Finished {
    Whole,
    TooLarge,
    /// It gives nothing: why.
    Gone(String),
}

/// Ids become parts of paths.
fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
