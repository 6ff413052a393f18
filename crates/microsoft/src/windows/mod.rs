//! The query engine: reads feeds that are asked for stretches of time, and answer in pages.
//!
//! Sign-ins, audits, message traces, activity logs: each of these APIs takes a window of time and gives pages of
//! records, in some order, of which some turn up late. What differs is small (`Feed`): how a window is asked for,
//! where the records of an answer stand, what bounds the service has. All the rest is here, once:
//!
//! - `plan`: which stretches to read, and when to read them again, so that late records are found;
//! - `span`: how long a window to ask for, learnt from what the last ones brought;
//! - `walk`: pages, and how services err with them: links that lead back, pages that repeat, pages without end;
//! - `seen`: what of the overlap was sent already, so that it is not sent again and again;
//! - `inbox`: an answer on its way in, which takes next to no memory;
//! - `fetch`: one page, asked for until it is what it should be;
//! - `books`: what a feed remembers, in one transaction with what it is about;
//! - `room`: when a page may be read: not while the sinks are behind, unless the service deletes it soon;
//! - `shard`: one feed of one tenant: reads, journals, and survives being killed at any instruction;
//! - `keeper`: beside the reading, sends the journal, and measures;
//! - `tenant`: all feeds of a tenant, also those that appear later.
//!
//! A record is journalled ([`crate::journal`]) before it is sent, because asking again may give other pages: positions
//! must not change over a restart. Nothing is filtered but what was sent already, byte for byte.

mod books;
pub(crate) mod envelope;
mod feed;
mod fetch;
mod graph;
mod keeper;
mod plan;
mod room;
pub(crate) mod seen;
mod shard;
mod source;
mod span;
mod tenant;
mod timing;
mod walk;

pub(crate) use self::feed::{Bounds, Collection, Feed, Pace, Page, Target, encode, first_request};
pub(crate) use self::graph::GraphFeed;
pub use self::plan::Window;
pub(crate) use self::plan::{Cursors, Schedule};
pub(crate) use self::room::{Spool, default_spool_before, default_spool_max};
pub(crate) use self::source::plan as plan_source;
pub(crate) use self::tenant::Feeds;
pub use self::timing::Moment;
pub(crate) use self::timing::{Timing, default_interval, default_overlap, default_start};

#[cfg(test)]
mod tests;
