//! Search-UnifiedAuditLog, session by session.
//!
//! One pass over a window is one session for each record type that is asked for (the cmdlet takes one alone), or one
//! for all. A session whose counts do not add up is thrown away, and the next one has a new id: the service keeps the
//! broken one's state under the old.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ring::digest::{SHA256, digest};
use serde_json::json;

use super::filter::{Filters, UnknownTypes};
use super::record::{Row, search_row};
use super::search::{Halt, Outcome};
use super::session::{BLOCK_ROWS, Session, Verdict};
use super::shelf::Pages;
use crate::client::{self, Api, Backoff, PoliteClient, Trouble};
use crate::exchange::{Exchange, wire};
use crate::windows::Window;

/// How often a session may turn out to be given in smaller blocks than asked for.
const SHRINKS: u32 = 4;

/// How often a session begins anew because an answer was lost on its way.
const LOST: u32 = 6;

/// How often a throttled call is repeated; the budget paces it.
const THROTTLED: u32 = 20;

/// A pause behind a broken session, so that the service's own trouble can pass; it grows with every pass.
const PAUSE: Duration = Duration::from_secs(20);

/// Searches by Search-UnifiedAuditLog.
#[derive(Debug)]
pub(crate) struct ExchangeSearch {
    exchange: Exchange,
    filters: Filters,
    unknown: UnknownTypes,
    high_completeness: bool,
    /// How many rows a call may ask for: as many as the service has been seen to give at once.
    block: AtomicU64,
    sessions: AtomicU64,
}

impl ExchangeSearch {
    pub(super) fn new(client: PoliteClient, tenant_id: &str, filters: Filters, high_completeness: bool) -> Self {
        ExchangeSearch {
            exchange: Exchange::new(client, tenant_id),
            filters,
            unknown: UnknownTypes::default(),
            high_completeness,
            block: AtomicU64::new(BLOCK_ROWS),
            sessions: AtomicU64::new(0),
        }
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
        let mut total = 0;
        let types: Vec<Option<&str>> = match self.unknown.left(&self.filters) {
            None => Vec::new(),
            Some(types) if types.is_empty() => vec![None],
            Some(types) => types.into_iter().map(Some).collect(),
        };
        for record_type in types {
            let mut shrinks = 0;
            let mut lost = Backoff::new(Duration::from_secs(1), PAUSE);
            loop {
                match self.session(window, record_type, pages).await? {
                    Ended::Whole(rows) => {
                        total += rows;
                        break;
                    }
                    Ended::TooLarge(rows) => return Ok(Outcome::TooLarge(format!("{rows} rows"))),
                    Ended::Short(rows) if shrinks < SHRINKS => {
                        shrinks += 1;
                        self.block.store(rows.max(1), Ordering::Relaxed);
                    }
                    Ended::Short(rows) => {
                        return Ok(Outcome::Broken(format!("the service gives ever fewer rows at once, now {rows}")));
                    }
                    Ended::Lost(trouble) => {
                        let pause = lost.next();
                        if lost.failures() >= LOST {
                            return Err(trouble.lasting().into());
                        }
                        self.exchange.client().clock().sleep(pause).await;
                    }
                    Ended::Broken(reason) => {
                        let pause = PAUSE.saturating_mul(pages.passes() + 1);
                        let client = self.exchange.client();
                        client.tell_wait(
                            Api::Exchange,
                            pause,
                            &format!("the search over {window} broke off: {reason}"),
                        );
                        client.clock().sleep(pause).await;
                        return Ok(Outcome::Broken(reason));
                    }
                }
            }
        }
        Ok(Outcome::Whole { counted: Some(total) })
    }

    async fn session(&self, window: &Window, record_type: Option<&str>, pages: &mut Pages<'_>) -> Result<Ended, Halt> {
        let asked = self.block.load(Ordering::Relaxed);
        let mut parameters = self.filters.cmdlet_parameters(window, record_type);
        let mut set = |name: &str, value| parameters.insert(name.to_owned(), value);
        set("SessionId", json!(self.session_id(window)));
        set("SessionCommand", json!("ReturnLargeSet"));
        set("ResultSize", json!(asked));
        if self.high_completeness {
            set("HighCompleteness", json!(true));
        }
        let mut session = Session::default();
        let mut throttled = 0;
        loop {
            let body = match self.exchange.invoke_once("Search-UnifiedAuditLog", &parameters).await {
                Err(trouble) if trouble.verdict == client::Verdict::Throttled && throttled < THROTTLED => {
                    throttled += 1;
                    continue;
                }
                // The service may have taken the call for answered: in this session the next one would skip rows.
                Err(trouble) if trouble.is_transient() => return Ok(Ended::Lost(trouble)),
                Err(trouble) if self.unknown.learn(&self.filters, &trouble, self.exchange.client().tenant()) => {
                    return Ok(Ended::Whole(0));
                }
                Err(trouble) => return Err(self.unknown.explain(&self.filters, trouble).into()),
                Ok(body) => body,
            };
            let answer = match wire::Answer::parse(&body) {
                Ok(answer) => answer,
                Err(broken) => return Ok(Ended::Broken(broken.to_string())),
            };
            let rows: Vec<Row> = answer.rows.iter().map(|place| search_row(&body[place.clone()])).collect();
            let verdict = session.judge(&rows, asked, answer.cut);
            match verdict {
                Verdict::TooLarge(rows) => return Ok(Ended::TooLarge(rows)),
                Verdict::Short(rows) => return Ok(Ended::Short(rows)),
                Verdict::More | Verdict::Done | Verdict::Broken(_) => {}
            }
            // Even the rows of a session that breaks are records: they are sent, and asked for again.
            pages.take(rows.into_iter().map(|row| row.record).collect()).await?;
            match verdict {
                Verdict::Done => return Ok(Ended::Whole(session.total())),
                Verdict::Broken(reason) if answer.warnings.is_empty() => return Ok(Ended::Broken(reason)),
                Verdict::Broken(reason) => {
                    return Ok(Ended::Broken(format!("{reason} (the service warned: {})", answer.warnings)));
                }
                _ => {}
            }
        }
    }

    /// An id that no other session has, in the form of a GUID.
    fn session_id(&self, window: &Window) -> String {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let seed = format!("{window} {number} {}", self.exchange.client().clock().now().as_nanosecond());
        wire::guid(digest(&SHA256, seed.as_bytes()).as_ref())
    }
}

/// How a session ended.
enum Ended {
    Whole(u64),
    TooLarge(u64),
    Short(u64),
    Broken(String),
    Lost(Trouble),
}
