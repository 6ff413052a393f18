//! Feeds of Microsoft Graph that are collections with a filter on a time.

use super::envelope::Broken;
use super::feed::{Collection, Feed, Pace, Page, Target};
use super::plan::Window;
use crate::client::{Api, Trouble};

/// Without it, values that Microsoft added to an enumeration later come back as `unknownFutureValue`.
const UNKNOWN_ENUMS: (&str, &str) = ("prefer", "include-unknown-enum-members");

/// A feed of Graph.
#[derive(Debug, Clone)]
pub(crate) struct GraphFeed {
    /// Its name.
    pub(crate) name: String,
    /// Whose budget its requests take.
    pub(crate) api: Api,
    /// How it is asked for, and read.
    pub(crate) collection: Collection,
    /// What bounds it.
    pub(crate) pace: Pace,
    /// What else its trouble means.
    pub(crate) explain: fn(Trouble) -> Trouble,
}

impl Feed for GraphFeed {
    fn name(&self) -> &str {
        &self.name
    }

    fn api(&self) -> Api {
        self.api
    }

    fn headers(&self) -> &[(&'static str, &'static str)] {
        &[UNKNOWN_ENUMS]
    }

    fn pace(&self) -> Pace {
        self.pace
    }

    fn id(&self) -> &'static str {
        "id"
    }

    fn ask(&self, window: &Window) -> Target {
        self.collection.ask(window)
    }

    fn page(&self, _asked: &Target, text: &[u8]) -> Result<Page, Broken> {
        self.collection.page(text)
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        (self.explain)(trouble)
    }
}
