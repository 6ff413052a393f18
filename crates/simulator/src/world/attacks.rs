//! What is done to the tenant: scripts that act operations of the catalogue from where the attacker is, and note what
//! was really done.
//!
//! An attack is acted as a whole when its time comes; its records wait until theirs does. It draws from a stream of
//! its own, so that normal life is the same with and without it.

mod access;
mod data;
mod mail;
mod rights;

use serde_json::Value;

use super::applications::{Application, registered};
use super::calendar::{DAY, SECOND};
use super::catalog::Catalog;
use super::config::{AttackConfig, AttackKind};
use super::devices::Device;
use super::directory::Directory;
use super::life;
use super::places::{FOREIGN, Place};
use super::record::Pending;
use super::rng::{Rng, hash, mix};
use super::scene::Scene;
use super::tenant::{Outsider, Tenant, User};

/// A change of the directory that an attack makes.
pub(super) struct Change {
    /// When, in milliseconds since 1970.
    pub(super) at: i64,
    pub(super) apply: Box<dyn FnOnce(&mut Directory) + Send + Sync>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change").field("at", &self.at).finish_non_exhaustive()
    }
}

/// What an attack was.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) actors: Vec<String>,
    pub(super) addresses: Vec<String>,
    pub(super) targets: Vec<String>,
    pub(super) description: String,
    pub(super) changes: Vec<Change>,
}

/// What the attacker comes with.
#[derive(Debug)]
struct Intruder {
    places: Vec<Place>,
    device: Device,
    /// An application of theirs, in another tenant.
    app: Application,
    /// A mailbox of theirs.
    mailbox: Outsider,
}

/// An attack that is being acted.
struct Stage<'s> {
    tenant: &'s Tenant,
    catalog: &'s Catalog,
    intruder: &'s Intruder,
    pending: &'s mut Pending,
    rng: Rng,
    index: u32,
    /// Now, in milliseconds since 1970.
    at: i64,
    /// Which of the attacker's places is used.
    place: usize,
    /// The session of the attacker's sign-ins.
    session: u64,
    outcome: Outcome,
}

/// Names that sound as if they could be trusted.
const APPLICATIONS: [&str; 4] = ["Office Document Viewer", "0365 Mail Backup", "Secure File Share", "Calendar Plus"];

/// Acts an attack.
pub(super) fn act(
    config: &AttackConfig,
    index: u32,
    at: i64,
    tenant: &Tenant,
    catalog: &Catalog,
    pending: &mut Pending,
) -> Outcome {
    let mut rng = Rng::new(mix(hash(tenant.seed, config.kind.name()), mix(config.seed, u64::from(index))));
    let town = rng.pick(FOREIGN);
    let intruder = Intruder {
        places: (0..6).map(|place| if place == 0 { town } else { rng.pick(FOREIGN) }.place(&mut rng)).collect(),
        device: Device::strange(&mut rng),
        app: registered(APPLICATIONS[rng.below(APPLICATIONS.len())], &[3, 5], rng.next()),
        mailbox: rng.pick(&tenant.strangers).clone(),
    };
    let session = rng.next();
    let mut stage = Stage {
        tenant,
        catalog,
        intruder: &intruder,
        pending,
        rng,
        index,
        at,
        place: 0,
        session,
        outcome: Outcome::default(),
    };
    let description = match config.kind {
        AttackKind::PasswordSpray => access::password_spray(&mut stage),
        AttackKind::BruteForce => access::brute_force(&mut stage),
        AttackKind::MfaFatigue => access::mfa_fatigue(&mut stage),
        AttackKind::ConsentPhishing => access::consent_phishing(&mut stage),
        AttackKind::InboxRuleForwarding => mail::inbox_rule(&mut stage),
        AttackKind::TransportRuleForwarding => mail::transport_rule(&mut stage),
        AttackKind::MailboxDelegation => mail::delegation(&mut stage),
        AttackKind::DelegateDeletion => mail::delegate_deletion(&mut stage),
        AttackKind::OneDriveSharing => data::onedrive_sharing(&mut stage),
        AttackKind::EdiscoveryAbuse => data::ediscovery_abuse(&mut stage),
        AttackKind::EdiscoveryAdmin => data::ediscovery_admin(&mut stage),
        AttackKind::BulkMail => mail::bulk_mail(&mut stage),
        AttackKind::ApplicationCredentials => rights::application_credentials(&mut stage),
        AttackKind::RoleEscalation => rights::role_escalation(&mut stage),
    };
    let mut outcome = stage.outcome;
    outcome.description = description;
    outcome
}

impl<'s> Stage<'s> {
    /// Time goes by: so many seconds.
    fn wait(&mut self, low: i64, high: i64) {
        self.at += self.rng.range(low * SECOND, high * SECOND);
    }

    /// Somebody does something from where the attacker is.
    fn act(&mut self, label: &str, actor: &'s User, direct: impl FnOnce(Scene<'s>) -> Scene<'s>) {
        let place = &self.intruder.places[self.place];
        let session = self.session;
        let device = &self.intruder.device;
        self.leave(label, actor, place, device, |mut scene| {
            scene.session = session;
            direct(scene)
        });
        note(&mut self.outcome.addresses, &place.ip);
    }

    /// Somebody does something from where they are used to be: the victim, not the attacker.
    fn act_at_work(&mut self, label: &str, actor: &'s User, direct: impl FnOnce(Scene<'s>) -> Scene<'s>) {
        let session = mix(actor.seed, self.at.div_euclid(DAY) as u64);
        self.leave(label, actor, &actor.office_place, &actor.computer, |mut scene| {
            scene.session = session;
            direct(scene)
        });
    }

    fn leave(
        &mut self,
        label: &str,
        actor: &'s User,
        place: &'s Place,
        device: &'s Device,
        direct: impl FnOnce(Scene<'s>) -> Scene<'s>,
    ) {
        // A label that is not in the catalogue is found by the test that acts all attacks.
        let Some(operation) = self.catalog.find(label) else { return };
        let mut scene = life::scene(self.tenant, actor, place, device, self.at, &mut self.rng);
        scene.app = &self.tenant.first_party[1];
        scene.resource = self.tenant.resource(1);
        let mut scene = direct(scene);
        self.pending.leave(operation, &mut scene, &mut self.rng, Some(self.index));
    }

    /// The attacker signs in with what they know.
    fn enter(&mut self, actor: &'s User) {
        self.act("sign_in/login", actor, |scene| {
            scene.with("risk", "medium").with("riskstate", "atRisk").with("risktypes", "\"unfamiliarFeatures\"")
        });
        self.wait(2, 20);
        self.act("risk/unfamiliar", actor, |scene| scene);
        note(&mut self.outcome.actors, &actor.upn);
        self.wait(20, 240);
    }

    /// Somebody without rights.
    fn worker(&mut self) -> &'s User {
        let workers = &self.tenant.users[self.tenant.admins..];
        self.rng.pick(workers)
    }

    /// Somebody with rights.
    fn administrator(&mut self) -> &'s User {
        self.rng.pick(self.tenant.administrators())
    }

    /// Somebody else than `actor`.
    fn other(&mut self, actor: &User) -> &'s User {
        life::other(self.tenant, actor, &mut self.rng)
    }

    fn change(&mut self, apply: impl FnOnce(&mut Directory) + Send + Sync + 'static) {
        self.outcome.changes.push(Change { at: self.at, apply: Box::new(apply) });
    }

    fn actor(&mut self, name: &str) {
        note(&mut self.outcome.actors, name);
    }

    fn target(&mut self, name: &str) {
        note(&mut self.outcome.targets, name);
    }
}

fn note(list: &mut Vec<String>, name: &str) {
    if !list.iter().any(|known| known == name) {
        list.push(name.to_owned());
    }
}

/// The entry of a list whose `key` is `value`.
fn entry<'l>(list: &'l mut [Value], key: &str, value: &str) -> Option<&'l mut Value> {
    list.iter_mut().find(|entry| entry.get(key).and_then(Value::as_str) == Some(value))
}
