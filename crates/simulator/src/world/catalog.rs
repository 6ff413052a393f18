//! The catalogue of operations: text files that say which records an operation leaves, and how often it is done.
//!
//! A pack is read line by line. `#` begins a comment. `let NAME = TEXT` names a text. `family NAME` begins operations
//! that look alike; indented `slot = TEXT` lines under it are defaults. `view FEED [OPTIONS]` begins the template of a
//! record, which goes on over the indented lines that follow: all records of all views are left each time. Options are
//! `share=PERCENT` (only sometimes), `after=LOW..HIGH` (milliseconds later), `each` (once for each recipient),
//! `id=TEMPLATE` and `key=TEMPLATE` (the record's id, a new UUID if not said, and the id that the happening has, the
//! same if not said; `~` stands for a blank in them). `op WEIGHT BY NAME` is an operation, with its slots indented under
//! it; the slot `label` tells operations of one name apart, `name` sets a name that ends in blanks, `cast` says which
//! application takes part ([`Cast`]).
//!
//! Templates take slots by `${:slot}` and texts by `${=name}`. `${if slot}..${fi}` stays only where the operation has
//! the slot. `${pairs:slot}` turns `A=1 ; B=2` into `{"Name":..,"Value":..}` objects; `${changes:slot}` and
//! `${graph:slot}` turn `A=new ; B=old=>new` into modified properties of the unified audit log and of Graph, where
//! `A[=` stands for a list of one string and `A#=` for a list of one JSON value.

mod expand;
mod read;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use super::feed::Feed;
use super::template::Template;

/// Who does an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Anyone who works here.
    User,
    /// An administrator.
    Admin,
    /// A guest.
    Guest,
    /// An application of the tenant, day and night.
    App,
    /// Microsoft, day and night.
    System,
    /// Nobody: only attacks and other operations call for it.
    Nobody,
}

impl By {
    fn from_name(name: &str) -> Option<By> {
        Some(match name {
            "user" => By::User,
            "admin" => By::Admin,
            "guest" => By::Guest,
            "app" => By::App,
            "system" => By::System,
            "nobody" => By::Nobody,
            _ => return None,
        })
    }
}

/// Which application takes part (the slot `cast`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cast {
    /// Any client of Microsoft's.
    Any,
    /// What people read mails with.
    Mail,
    /// What people open files with.
    Files,
    /// What people manage Azure with.
    Azure,
    /// An application of the tenant.
    Own,
}

impl Cast {
    fn from_name(name: &str) -> Option<Cast> {
        Some(match name {
            "any" => Cast::Any,
            "mail" => Cast::Mail,
            "files" => Cast::Files,
            "azure" => Cast::Azure,
            "own" => Cast::Own,
            _ => return None,
        })
    }
}

/// One operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) weight: u32,
    pub(super) by: By,
    pub(super) cast: Cast,
    pub(super) views: Vec<View>,
}

/// One record that an operation leaves.
#[derive(Debug)]
pub(super) struct View {
    pub(super) feed: Feed,
    pub(super) share: u32,
    pub(super) after: (i64, i64),
    pub(super) each: bool,
    pub(super) id: Template,
    pub(super) key: Option<Template>,
    pub(super) body: Template,
    /// About how long its records are.
    pub(super) size: usize,
}

/// All operations.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) operations: Vec<Arc<Operation>>,
    by_label: HashMap<String, usize>,
}

const PACKS: &[(&str, &str)] = &[
    ("exchange_admin", include_str!("operations/exchange_admin.ops")),
    ("exchange_mailbox", include_str!("operations/exchange_mailbox.ops")),
    ("mail_flow", include_str!("operations/mail_flow.ops")),
    ("sharepoint", include_str!("operations/sharepoint.ops")),
    ("entra", include_str!("operations/entra.ops")),
    ("sign_ins", include_str!("operations/sign_ins.ops")),
    ("risk", include_str!("operations/risk.ops")),
    ("teams", include_str!("operations/teams.ops")),
    ("compliance", include_str!("operations/compliance.ops")),
    ("alerts", include_str!("operations/alerts.ops")),
    ("dlp", include_str!("operations/dlp.ops")),
    ("power_platform", include_str!("operations/power_platform.ops")),
    ("productivity", include_str!("operations/productivity.ops")),
    ("azure", include_str!("operations/azure.ops")),
    ("devops", include_str!("operations/devops.ops")),
];

/// The catalogue, read once: it is part of the program and the same for every tenant.
static CATALOG: LazyLock<Result<Catalog, String>> = LazyLock::new(|| {
    let mut catalog = Catalog::default();
    for (name, text) in PACKS {
        read::read(text, &mut catalog).map_err(|error| format!("operations/{name}.ops: {error}"))?;
    }
    Ok(catalog)
});

impl Catalog {
    /// The catalogue.
    ///
    /// # Errors
    /// The mistake in it, with its line. A test reads it, so a released program has none.
    pub(super) fn get() -> Result<&'static Catalog, String> {
        CATALOG.as_ref().map_err(Clone::clone)
    }

    /// The operation of a label, `FAMILY/NAME` unless it has one of its own: `FAMILY/LABEL`.
    pub(super) fn find(&self, label: &str) -> Option<&Arc<Operation>> {
        self.by_label.get(label).map(|&index| &self.operations[index])
    }
}
