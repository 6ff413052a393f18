//! Which subscriptions there are, and the feed of each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::client::{Api, Request, Trouble, Verdict};
use crate::cloud::Service;
use crate::config::Connection;
use crate::windows::envelope::{self, Broken};
use crate::windows::{Bounds, Collection, Feed, Feeds, Pace, Page, Target, Window};

/// The feed of the tenant's own log.
const TENANT_LEVEL: &str = "activity.tenant";

/// More pages of subscriptions than that are not believed.
const MOST_PAGES: usize = 1000;

/// Whether a text may be part of a path: the form of a GUID.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 36 && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The subscriptions of a tenant.
#[derive(Debug)]
pub(super) struct Subscriptions {
    /// Those of the config; all, if there is no list.
    pub(super) named: Option<Vec<String>>,
    /// Whether the tenant's own log is a feed, too.
    pub(super) tenant_level: bool,
    /// How often to look for new ones.
    pub(super) look_again: Duration,
}

#[async_trait]
impl Feeds for Subscriptions {
    async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        let ids = match &self.named {
            Some(named) => named.iter().map(|id| id.to_ascii_lowercase()).collect(),
            None => visible(connection).await?,
        };
        let mut feeds: Vec<Arc<dyn Feed>> = Vec::new();
        if self.tenant_level {
            feeds.push(Arc::new(ActivityLog::of_tenant()));
        }
        feeds.extend(ids.iter().map(|id| Arc::new(ActivityLog::of_subscription(id)) as Arc<dyn Feed>));
        Ok(feeds)
    }

    fn look_again(&self) -> Option<Duration> {
        self.named.is_none().then_some(self.look_again)
    }

    fn none(&self) -> &'static str {
        "the identity sees no subscription; give it the role Reader on those that should be read. New ones are looked for"
    }
}

/// The ids of the subscriptions that the identity can see.
pub(super) async fn visible(connection: &Connection) -> Result<Vec<String>, Trouble> {
    let (api, client) = (Api::ResourceManager, &connection.client);
    let mut url = client
        .cloud()
        .url(Service::ResourceManager, "/subscriptions?api-version=2020-01-01")
        .map_err(|foreign| Trouble::new(Verdict::Stop, api, "no_service", foreign.to_string(), ""))?;
    let mut ids = Vec::new();
    for _ in 0..MOST_PAGES {
        let (found, next) = client.get_read(Request::get(api, url.clone()), |body| read(body)).await?.body;
        ids.extend(found);
        match next {
            None => {
                ids.sort();
                ids.dedup();
                return Ok(ids);
            }
            Some(link) => {
                let next = client.accept(api, &link)?;
                if next == url {
                    return Err(wrong("its link to the next page leads back to itself".to_owned()));
                }
                url = next;
            }
        }
    }
    Err(wrong("its pages do not end".to_owned()))
}

fn wrong(what: String) -> Trouble {
    Trouble::new(Verdict::Retry, Api::ResourceManager, "bad_list", what, "the list of subscriptions is not usable")
}

/// The ids on a page, and the link to the next one.
fn read(text: &[u8]) -> Result<(Vec<String>, Option<String>), Broken> {
    let (mut ids, mut next) = (Vec::new(), None);
    for (name, place) in envelope::document(text)? {
        match name.as_ref() {
            "value" => {
                for subscription in envelope::elements(text, place)? {
                    let members = envelope::members(text, subscription)?;
                    let id = members.into_iter().find(|(name, _)| name == "subscriptionId");
                    let id = id.and_then(|(_, place)| envelope::string(text, place)).map(|id| id.to_ascii_lowercase());
                    ids.extend(id.filter(|id| is_id(id)));
                }
            }
            "nextLink" => next = envelope::string(text, place).filter(|link| !link.is_empty()),
            _ => {}
        }
    }
    Ok((ids, next))
}

/// The activity log of a subscription, or of the tenant.
#[derive(Debug)]
pub(super) struct ActivityLog {
    name: String,
    collection: Collection,
}

impl ActivityLog {
    fn new(name: String, scope: &str) -> ActivityLog {
        let events = "providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter=";
        let collection = Collection {
            path: format!("{scope}/{events}"),
            time: "eventTimestamp",
            bounds: Bounds::Quoted,
            and: None,
            link: "nextLink",
        };
        ActivityLog { name, collection }
    }

    pub(super) fn of_subscription(id: &str) -> ActivityLog {
        ActivityLog::new(format!("activity.{id}"), &format!("/subscriptions/{id}"))
    }

    pub(super) fn of_tenant() -> ActivityLog {
        ActivityLog::new(TENANT_LEVEL.to_owned(), "")
    }
}

impl Feed for ActivityLog {
    fn name(&self) -> &str {
        &self.name
    }

    fn api(&self) -> Api {
        Api::ResourceManager
    }

    fn pace(&self) -> Pace {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        // A start before 90 days ago is refused; an hour is for the time that reading takes.
        Pace { overlap: hours(24), settle: Duration::from_secs(60), longest: hours(24), keeps: hours(90 * 24 - 1) }
    }

    fn id(&self) -> &'static str {
        "eventDataId"
    }

    fn ask(&self, window: &Window) -> Target {
        self.collection.ask(window)
    }

    fn page(&self, _asked: &Target, text: &[u8]) -> Result<Page, Broken> {
        self.collection.page(text)
    }

    fn explain(&self, trouble: Trouble) -> Trouble {
        let meaning = match trouble.status {
            Some(403) if self.name == TENANT_LEVEL => {
                "the tenant's own log needs a role with the action Microsoft.Insights/eventtypes/* at the scope `/`; grant \
                 it, or leave `tenant_level` out"
            }
            Some(403) => {
                "the identity may not read this subscription's activity log; give it the role Reader (or one with the \
                 action Microsoft.Insights/eventtypes/*) on the subscription. A role that was granted just now may take \
                 minutes to be seen"
            }
            Some(404) => "there is no such subscription (any more)",
            _ => return trouble,
        };
        Trouble { verdict: Verdict::Stop, meaning: meaning.to_owned(), ..trouble }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::encode;

    const ID: &str = "0a1b2c3d-0000-1111-2222-333344445555";

    #[test]
    fn only_guids_become_part_of_a_path() {
        let text = format!(
            r#"{{"value":[{{"subscriptionId":"{}"}},{{"subscriptionId":"../../evil"}},{{"id":"x"}}],"nextLink":"https://h/2"}}"#,
            ID.to_uppercase()
        );
        assert_eq!(read(text.as_bytes()).unwrap(), (vec![ID.to_owned()], Some("https://h/2".to_owned())));
        assert_eq!(read(br#"{"value":[],"nextLink":null}"#).unwrap(), (Vec::new(), None));
        assert!(read(b"<html>").is_err());
    }

    #[test]
    fn filters_are_quoted_and_scopes_differ() {
        let window =
            Window { start: "2026-01-05T00:00:00Z".parse().unwrap(), end: "2026-01-05T01:00:00Z".parse().unwrap() };
        let path = |feed: ActivityLog| {
            let Target::Path(path) = feed.ask(&window) else { panic!("no path") };
            path
        };
        let filter = encode("eventTimestamp ge '2026-01-05T00:00:00Z' and eventTimestamp le '2026-01-05T01:00:00Z'");
        let events = format!(
            "providers/Microsoft.Insights/eventtypes/management/values?api-version=2015-04-01&$filter={filter}"
        );
        assert_eq!(path(ActivityLog::of_subscription(ID)), format!("/subscriptions/{ID}/{events}"));
        assert_eq!(path(ActivityLog::of_tenant()), format!("/{events}"));
    }
}
