//! What a component says about itself: the struct of its config, its type's name, an example, and how it is built.
//!
//! A config has two forms. As written it is plain data that serde fills in; it holds no handles and opens nothing.
//! [`Component::plan`] checks it, all that can be checked without network and files, and gives the validated form: a
//! closure that builds the stage. Only a pipeline that is about to run calls that closure.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::access::Access;
use crate::error::StageError;
use crate::stage::Context;

/// The validated form of a component: opens what it needs and gives the running stage.
pub type Build<Stage> = Box<dyn FnOnce(Context) -> Result<Stage, StageError> + Send>;

/// Something that a component must have for itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Standard input: each of two readers would get pieces of the records. Said by the key `type`.
    StandardInput,
    /// A file that is written to, as [`resolve`](crate::path::resolve) gives its path: two writers would overwrite each
    /// other. Said by the key `path`.
    File(PathBuf),
}

/// Says whether a source reads the file of a path, as [`resolve`](crate::path::resolve) gives it.
pub type Reads = Box<dyn Fn(&Path) -> bool + Send + Sync>;

/// A mistake in a component's config that serde cannot see. The loader adds file, line and component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The key that holds the mistake, relative to the component; segments of nested keys and list indexes behind
    /// dots (`include.0`). Empty for the component as a whole.
    pub key: String,
    /// What is wrong and what was expected.
    pub message: String,
    /// What to do, if that is not the same thing.
    pub help: Option<String>,
}

impl ConfigError {
    /// A mistake at a key.
    pub fn at(key: impl Into<String>, message: impl Into<String>) -> ConfigError {
        ConfigError { key: key.into(), message: message.into(), help: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> ConfigError {
        ConfigError { help: Some(help.into()), ..self }
    }
}

/// A config struct, one for each type of source, transform and sink.
///
/// Implementors derive `Deserialize` with `#[serde(deny_unknown_fields)]`, and `JsonSchema`; the doc comments of
/// their fields are the user's documentation. The keys `type` and `inputs` are taken off before serde sees them.
pub trait Component: DeserializeOwned + JsonSchema {
    /// What it builds: `Box<dyn Source>`, `Box<dyn Transform>` or `Box<dyn Sink>`.
    type Stage;

    /// The name that a config's `type` key uses.
    const TYPE: &'static str;

    /// A working example of its keys, as YAML, without `type` and `inputs`.
    const EXAMPLE: &'static str;

    /// Checks everything that can be checked without network and files.
    ///
    /// # Errors
    /// All mistakes at once.
    fn plan(self) -> Result<Build<Self::Stage>, Vec<ConfigError>>;

    /// What is probably a mistake and may be meant all the same. It is told, and hinders nothing.
    fn warnings(&self) -> Vec<ConfigError> {
        Vec::new()
    }

    /// The named outputs, addressed as `id.output`, in the order of their indexes.
    fn outputs(&self) -> Vec<String> {
        Vec::new()
    }

    /// How it can be checked that the component is allowed to do its work. `None`: it needs no rights anywhere, or its
    /// config is wrong, which [`Component::plan`] tells.
    fn access(&self) -> Option<Box<dyn Access>> {
        None
    }

    /// The key by which a source was told to give records that it may have given before; `None` if it gives each once,
    /// or it is not its doing. A pipeline without `dedupe` behind it is then told of the doubles.
    fn repeats(&self) -> Option<&'static str> {
        None
    }

    /// For how long a transform knows a record that came through, and drops it when it comes again; `None` if it drops
    /// nothing of the kind. Said by the key `horizon`.
    fn remembers(&self) -> Option<Duration> {
        None
    }

    /// What it must have for itself alone. A second component that claims the same is a mistake.
    fn claim(&self) -> Option<Claim> {
        None
    }

    /// Which files a source reads, if it reads files. One that a sink behind it writes to would come round for ever.
    fn reads(&self) -> Option<Reads> {
        None
    }

    /// Whether the component may be addressed by its id alone. `route` may not: all it gives has a name.
    fn has_main_output(&self) -> bool {
        true
    }
}
