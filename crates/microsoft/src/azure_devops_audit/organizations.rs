//! Which organisations there are: a list in CSV, as Azure DevOps' catalogue of an Entra tenant gives it.
//!
//! The catalogue is what the portal's "Download" button calls. Microsoft does not document it, and service principals
//! may get the sign-in page instead, with status 200: then the organisations must be named in the config.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use csv_core::ReadFieldResult;

use super::feed::AuditLog;
use crate::client::{Api, Request, Trouble, Verdict};
use crate::cloud::Service;
use crate::config::Connection;
use crate::windows::{Feed, Feeds, encode};

/// What to do when the catalogue does not tell.
const NAME_THEM: &str =
    "Azure DevOps does not show this identity its list of organisations; name them in `organizations`";

/// The organisations of a tenant.
#[derive(Debug)]
pub(super) struct Organizations {
    /// Those of the config; all, if there is no list.
    pub(super) named: Option<Vec<String>>,
    /// How many records to ask for at once.
    pub(super) batch_size: u32,
    /// How often to look for new ones.
    pub(super) look_again: Duration,
}

#[async_trait]
impl Feeds for Organizations {
    async fn list(&self, connection: &Connection) -> Result<Vec<Arc<dyn Feed>>, Trouble> {
        let names = match &self.named {
            Some(named) => named.clone(),
            None => catalogue(connection).await?,
        };
        let feed = |name: &String| Arc::new(AuditLog::new(name, self.batch_size)) as Arc<dyn Feed>;
        Ok(names.iter().map(feed).collect())
    }

    fn look_again(&self) -> Option<Duration> {
        self.named.is_none().then_some(self.look_again)
    }

    fn none(&self) -> &'static str {
        "the tenant has no organisation in Azure DevOps that this identity is shown; if there are some, name them in \
         `organizations`. New ones are looked for"
    }
}

/// The names of the tenant's organisations.
pub(super) async fn catalogue(connection: &Connection) -> Result<Vec<String>, Trouble> {
    let (api, client) = (Api::DevOps, &connection.client);
    let path = format!("/_apis/EnterpriseCatalog/Organizations?tenantId={}", encode(&connection.tenant.id));
    let url = client
        .cloud()
        .url(Service::DevOpsCatalog, &path)
        .map_err(|foreign| Trouble::new(Verdict::Stop, api, "no_service", foreign.to_string(), NAME_THEM))?;
    let answer = client.get(Request::get(api, url).service(Service::DevOpsCatalog)).await;
    let answer = answer.map_err(|trouble| match trouble.status {
        // Who could not sign in, or was not reached, has not been asked for the list.
        Some(_) if !trouble.is_transient() && !trouble.is_sign_in() => {
            Trouble { verdict: Verdict::Stop, meaning: NAME_THEM.to_owned(), ..trouble }
        }
        _ => trouble,
    })?;
    let text = String::from_utf8_lossy(&answer.body);
    names(&text).ok_or_else(|| Trouble::new(Verdict::Stop, api, "no_list", &*text, NAME_THEM))
}

/// A name that may be part of a path: letters, digits and hyphens, as Azure DevOps allows.
pub(super) fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The names in the column `Organization Name`. `None`: this is no such list.
pub(super) fn names(csv: &str) -> Option<Vec<String>> {
    let mut rows = rows(csv.trim_start_matches('\u{feff}')).into_iter();
    let header = rows.next()?;
    let column = header.iter().position(|name| name.trim().eq_ignore_ascii_case("Organization Name"))?;
    let names = rows.filter_map(|row| row.get(column).map(|name| name.trim().to_owned()));
    let mut names: Vec<String> = names.filter(|name| is_name(name)).collect();
    names.sort();
    names.dedup();
    Some(names)
}

fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut reader, mut input) = (csv_core::Reader::new(), csv.as_bytes());
    let (mut rows, mut row, mut field, mut buffer) = (Vec::new(), Vec::new(), Vec::new(), [0; 1024]);
    loop {
        let (found, read, written) = reader.read_field(input, &mut buffer);
        input = &input[read..];
        field.extend_from_slice(&buffer[..written]);
        match found {
            // With nothing left, the next call ends the last field.
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                row.push(String::from_utf8_lossy(&std::mem::take(&mut field)).into_owned());
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
            ReadFieldResult::End => return rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_their_column() {
        let csv = "\u{feff}Organization Id,Organization Name,Url,Owner\r\n1,contoso,https://x,\"Lovelace, \"\"Ada\"\"\"\r\n2,\"fabrikam-2\",y,z\r\n3,../evil,y,z\n";
        assert_eq!(names(csv).unwrap(), ["contoso", "fabrikam-2"]);
        assert_eq!(rows("a,\"b \"\"c\"\", d\"")[0], ["a", "b \"c\", d"]);
        assert_eq!(names("Organization Name,Url\n").unwrap(), [""; 0]);
        for no_list in ["", "<html><title>Azure DevOps Services | Sign In</title></html>", "a,b\n1,2\n"] {
            assert_eq!(names(no_list), None, "{no_list}");
        }
    }
}
