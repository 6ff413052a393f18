//! Whether a component is allowed to do its work: what `downspout check-access` asks, and what it learns.
//!
//! A component that needs rights somewhere else (permissions, roles, licences) says by
//! [`Component::access`](crate::Component::access) how they can be checked. A check reads, and changes nothing.

use async_trait::async_trait;

use crate::error::StageError;
use crate::shared::Shared;

/// How it stands with something that is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is there.
    Fine,
    /// The component works, but something is worth knowing.
    Advice,
    /// It could not be told: the service did not answer.
    Unclear,
    /// It is not there, and the component cannot do its work, or a part of it.
    Missing,
}

impl Standing {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::Fine => "fine",
            Standing::Advice => "advice",
            Standing::Unclear => "unclear",
            Standing::Missing => "missing",
        }
    }
}

/// One thing that is needed, and how it stands with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whose it is: a tenant, as the config calls it.
    pub tenant: String,
    /// What is needed.
    pub need: String,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub found: String,
    /// How to get it; empty if there is nothing to do.
    pub remedy: String,
}

/// What an application was granted on a resource, and what of it the component needs. A config's components share
/// applications, so what is more than needed shows only when all of them are put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The tenant, as the config calls it.
    pub tenant: String,
    /// The application's id.
    pub application: String,
    /// What the rights are on.
    pub resource: String,
    /// The rights that it has.
    pub granted: Vec<String>,
    /// Those that the component uses.
    pub used: Vec<String>,
}

/// What a check has learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// What is needed.
    pub findings: Vec<Finding>,
    /// What was granted.
    pub grants: Vec<Grant>,
}

/// Checks what a component needs.
#[async_trait]
pub trait Access: Send {
    /// The ids of the tenants that the component reads.
    fn tenants(&self) -> Vec<String>;

    /// Asks. `shared` is what it has in common with the checks of other components.
    ///
    /// # Errors
    /// If nothing could be asked at all: a file of tenants that is missing, say.
    async fn check(self: Box<Self>, shared: Shared) -> Result<Checked, StageError>;
}
