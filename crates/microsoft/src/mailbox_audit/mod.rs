//! The source `mailbox_audit`: who did what in which mailbox, by Search-MailboxAuditLog.
//!
//! # What it does
//! Runs Search-MailboxAuditLog over Exchange Online's administration endpoint, for the mailboxes that are listed or for
//! every mailbox of the tenant, window by window, and gives each row as it came. The cmdlet has no pages: it gives as
//! many rows as it is asked for and cuts the rest. So a window whose answer is full, or says that it was cut, is halved;
//! and a window is complete only when `passes` readings in a row saw the same rows. A mailbox that does not exist is a
//! gap in the ledger.
//!
//! `operations` is handed to the cmdlet as it is (`-Operations`, which it takes with or without the details that are
//! asked for here), so that what is not wanted is not even sent.
//!
//! Microsoft has deprecated the cmdlet in favour of the unified audit log, where the same events are; it still answers
//! for mailboxes whose events are kept in the mailbox itself.
//!
//! # Permissions
//! The application permission Exchange.ManageAsApp of Office 365 Exchange Online, and the Exchange roles View-Only Audit
//! Logs and, to list the mailboxes, View-Only Recipients.
//!
//! # Example
//! ```yaml
//! sources:
//!   mailboxes:
//!     type: mailbox_audit
//!     tenant_id: ${AZURE_TENANT_ID}
//!     auth: { client_id: "${AZURE_CLIENT_ID}", certificate: /run/secrets/downspout.pem }
//!     mailboxes: [ceo@contoso.example]
//!     start: 90d
//!     mode: once
//! ```
//!
//! # Metrics
//! Those of every source of Microsoft's. By tenant, with the feed `mailbox_audit` and for the worst of its mailboxes:
//! `downspout_feed_lag_seconds`, `downspout_feed_oldest_unacknowledged_seconds`, `downspout_feed_expires_in_seconds` (90
//! days less the lag: that long mailboxes keep their log, unless set otherwise) and, for all mailboxes together,
//! `downspout_feed_gaps`.

mod config;
mod search;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downspout_core::stage::{Output, Shutdown};
use downspout_core::{Context, ErrorKind, Source, StageError};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

pub use self::config::{LogonType, MailboxAuditConfig};
pub(crate) use self::search::MailboxSearch;
use crate::audit_search::books::Range;
use crate::audit_search::gauges::{self, Gauges};
use crate::audit_search::search::{Effort, Search, Searcher};
use crate::audit_search::shelf::Room;
use crate::client::Trouble;
use crate::config::{Connection, Mode, Setup, run_each};
use crate::exchange::Exchange;
use crate::windows::{Schedule, Spool, Timing};

/// How long mailboxes keep their audit log at most: what the longest setting allows.
const KEEPS: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// How long they keep it, unless set otherwise.
const KEEPS_USUALLY: Duration = Duration::from_secs(90 * 24 * 3600);

/// The running source.
#[derive(Debug)]
struct MailboxAudit {
    config: MailboxAuditConfig,
    setup: Setup,
    timing: Timing,
    context: Context,
}

#[async_trait]
impl Source for MailboxAudit {
    async fn run(self: Box<Self>, output: Output, mut shutdown: Shutdown) -> Result<(), StageError> {
        let connections = tokio::select! {
            connections = self.setup.connect(&self.context) => connections?,
            () = shutdown.wait() => return Ok(()),
        };
        self.run_with(connections, output, shutdown).await
    }
}

impl MailboxAudit {
    async fn run_with(
        self: Box<Self>,
        connections: Vec<Connection>,
        output: Output,
        shutdown: Shutdown,
    ) -> Result<(), StageError> {
        let context = self.context.clone();
        let (mode, this, output) = (self.timing.mode, Arc::new(*self), Arc::new(output));
        let gauges = Arc::new(Gauges::new(&context, "mailbox_audit", KEEPS_USUALLY));
        let (shown, clock) = (Arc::clone(&gauges), gauges::clock(&connections));
        let searching = run_each(&context, connections, mode, &shutdown, move |connection| {
            let (this, output, gauges) = (Arc::clone(&this), Arc::clone(&output), Arc::clone(&shown));
            async move { this.search_tenant(connection, &gauges, &output).await }
        });
        gauges.beside(&clock, searching).await
    }

    /// Goes through all mailboxes, again and again.
    async fn search_tenant(
        &self,
        connection: Connection,
        gauges: &Arc<Gauges>,
        output: &Output,
    ) -> Result<(), StageError> {
        let exchange = Exchange::new(connection.client.clone(), &connection.tenant.id);
        let place = format!("tenant {}", connection.tenant.label());
        loop {
            let mailboxes = self.mailboxes(&exchange).await.map_err(|trouble| trouble.at(&place))?;
            tracing::info!(component = %self.context.id, tenant = connection.tenant.label(), "{} mailboxes", mailboxes.len());
            let mut waiting = mailboxes.into_iter();
            let mut under_way = FuturesUnordered::new();
            // One mailbox's trouble is not the others'; the first one's is told when all were searched.
            let mut first = None;
            loop {
                while under_way.len() < self.config.concurrency
                    && let Some(mailbox) = waiting.next()
                {
                    under_way.push(self.search_mailbox(&connection, mailbox, gauges, output));
                }
                let Some(searched) = under_way.next().await else { break };
                let Err(error) = searched else { continue };
                if error.kind() == ErrorKind::Stop {
                    return Err(error);
                }
                tracing::warn!(component = %self.context.id, "{error}; it is searched again later");
                first.get_or_insert(error);
            }
            match first {
                Some(error) => return Err(error),
                None if self.timing.mode == Mode::Once => return Ok(()),
                None => connection.clock.sleep(self.timing.interval).await,
            }
        }
    }

    /// The mailboxes to be searched.
    async fn mailboxes(&self, exchange: &Exchange) -> Result<BTreeSet<String>, Trouble> {
        if self.config.mailboxes.is_empty() {
            search::all_mailboxes(exchange, self.config.inactive).await
        } else {
            Ok(self.config.mailboxes.iter().cloned().collect())
        }
    }

    async fn search_mailbox(
        &self,
        connection: &Connection,
        mailbox: String,
        gauges: &Arc<Gauges>,
        output: &Output,
    ) -> Result<(), StageError> {
        self.search(connection, mailbox, gauges, output).run_once(&self.context).await
    }

    fn search<'o>(
        &self,
        connection: &Connection,
        mailbox: String,
        gauges: &Arc<Gauges>,
        output: &'o Output,
    ) -> Search<'o> {
        let MailboxAudit { config, timing, .. } = self;
        let exchange = Exchange::new(connection.client.clone(), &connection.tenant.id);
        // What is asked for once is asked for up to its end, however young that is, and not again by a later run.
        let (settle, overlap) = match timing.mode {
            Mode::Once => (Duration::ZERO, Duration::ZERO),
            Mode::Follow => (config.settle.0, config.overlap.0),
        };
        Search {
            feed: format!("mailbox_audit:{mailbox}"),
            searcher: Searcher::Mailbox(MailboxSearch::new(exchange, mailbox, config)),
            effort: Effort {
                passes: config.passes,
                max_passes: config.max_passes,
                concurrency: 1,
                interval: timing.interval,
            },
            range: Range {
                schedule: Schedule::new(timing.interval, overlap, settle, KEEPS),
                timing: *timing,
                window: config.window.0,
            },
            room: Room {
                keeps: KEEPS_USUALLY,
                spool: Spool { before: config.spool_before.0, max: config.spool_max.0 },
            },
            gauges: Some(Arc::clone(gauges)),
            connection: connection.clone(),
            output,
            recovers: None,
        }
    }
}
