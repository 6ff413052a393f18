//! One tenant as the services see it: who it is, what it has published, and what clients have set up in it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::{SignedDuration, Timestamp};

use super::exchange::{LeftOut, Sessions};
use super::faults::Faults;
use super::graph::{Found, Queries};
use super::limit::Limits;
use super::lock;
use super::management::Subscription;
use super::publish::{Publisher, UNIFIED};
use crate::config::{AppConfig, AttackEntry, Config, TenantConfig, Trouble};
use crate::world::{AttackConfig, AttackKind, Feed, World, WorldConfig, all_attacks};

/// One tenant.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) config: TenantConfig,
    /// When the clock started.
    pub(crate) started: Timestamp,
    life: Mutex<Life>,
    /// Rows that answers of cmdlets left out.
    pub(crate) left_out: Mutex<LeftOut>,
}

/// What changes in a tenant.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) publisher: Publisher,
    pub(crate) subscriptions: BTreeMap<Feed, Subscription>,
    pub(crate) limits: Limits,
    /// Answers of Graph queries, for the pages to come.
    pub(crate) results: VecDeque<(String, Found)>,
    /// Audit log queries.
    pub(crate) queries: Queries,
    /// Sessions of audit searches.
    pub(crate) sessions: Sessions,
    /// Applications whose service principal a client has created.
    pub(crate) principals: Vec<String>,
}

impl Tenant {
    pub(crate) fn new(
        tenant: &TenantConfig,
        config: &Config,
        started: Timestamp,
        faults: &Arc<Faults>,
    ) -> Result<Tenant, String> {
        let history = SignedDuration::try_from_secs_f64(config.history_days.max(0.0) * 86_400.0)
            .map_err(|_| format!("history_days: {} is too much", config.history_days))?;
        let start = started.checked_sub(history).map_err(|_| "history_days reaches before the calendar".to_owned())?;
        let world = World::new(WorldConfig {
            seed: tenant.seed,
            tenant_id: tenant.tenant_id.clone(),
            domain: tenant.domain.clone(),
            users: tenant.users,
            events_per_day: tenant.events_per_day,
            start,
            attacks: attacks(&tenant.attacks, start)?,
        });
        let subscriptions = UNIFIED
            .into_iter()
            .filter(|feed| tenant.subscribed.iter().any(|name| Some(name.as_str()) == feed.content_type()))
            .map(|feed| (feed, Subscription::new(start)))
            .collect();
        let settings = (&config.publishing, &config.retention);
        let publisher = Publisher::new(tenant, world, settings, started, Arc::clone(faults));
        let life = Life {
            publisher,
            subscriptions,
            limits: Limits::default(),
            results: VecDeque::new(),
            queries: Queries::new(),
            sessions: Sessions::default(),
            principals: Vec::new(),
        };
        Ok(Tenant { config: tenant.clone(), started, life: Mutex::new(life), left_out: Mutex::default() })
    }

    /// Its id, as in the config.
    pub(crate) fn id(&self) -> &str {
        &self.config.tenant_id
    }

    /// Its `.onmicrosoft.com` domain.
    pub(crate) fn first_domain(&self) -> String {
        let name = self.config.domain.split('.').next().unwrap_or("contoso");
        format!("{name}.onmicrosoft.com")
    }

    /// Whether it has that id or domain.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case(self.id())
            || name.eq_ignore_ascii_case(&self.config.domain)
            || name.eq_ignore_ascii_case(&self.first_domain())
    }

    /// Whether that is wrong with it.
    pub(crate) fn has(&self, trouble: Trouble) -> bool {
        self.config.trouble.contains(&trouble)
    }

    /// The registered application of that id. `None` also where every application is let in.
    pub(crate) fn app(&self, client: &str) -> Option<&AppConfig> {
        self.config.apps.iter().find(|app| app.client_id.eq_ignore_ascii_case(client))
    }

    /// Its state, with everything published that is due.
    pub(crate) fn live(&self, now: Timestamp) -> MutexGuard<'_, Life> {
        let mut life = lock(&self.life);
        life.publisher.advance(now);
        life
    }

    /// Its state as the last request left it: for limits, which need no records.
    pub(crate) fn quiet(&self) -> MutexGuard<'_, Life> {
        lock(&self.life)
    }
}

fn attacks(entries: &[AttackEntry], start: Timestamp) -> Result<Vec<AttackConfig>, String> {
    let mut attacks = Vec::new();
    for entry in entries {
        let after =
            SignedDuration::try_from_secs_f64(entry.after_hours * 3_600.0).map_err(|error| error.to_string())?;
        let at = start.checked_add(after).map_err(|error| error.to_string())?;
        if entry.kind == "all" {
            // The first of them begins two hours after the moment it is given.
            attacks.extend(all_attacks(at).into_iter().map(|attack| AttackConfig { seed: entry.seed, ..attack }));
            continue;
        }
        let names: Vec<&str> = AttackKind::ALL.iter().map(|kind| kind.name()).collect();
        let kind = AttackKind::from_name(&entry.kind)
            .ok_or_else(|| format!("unknown attack `{}`; there are: all, {}", entry.kind, names.join(", ")))?;
        attacks.push(AttackConfig { kind, at, seed: entry.seed });
    }
    Ok(attacks)
}
