//! Whether the tenant may have all that a snapshot asks for: registration details take a licence.

use async_trait::async_trait;
use downspout_core::access::{Finding, Standing};

use super::lists::REGISTRATIONS;
use crate::access::{Probe, fine};
use crate::client::{Api, Request, Trouble, Verdict};
use crate::cloud::Service;
use crate::config::Connection;

/// How often a service that is busy is asked.
const ATTEMPTS: u32 = 3;

/// Asks for the registration details of one user.
#[derive(Debug)]
pub(super) struct Registrations;

#[async_trait]
impl Probe for Registrations {
    async fn ask(&self, connection: &Connection) -> Vec<Finding> {
        let (tenant, need) = (connection.tenant.label(), "registration details of users");
        vec![match look(connection).await {
            Ok(()) => fine(tenant, need, "they can be read"),
            // A snapshot without them is one all the same.
            Err(trouble) => Finding {
                tenant: tenant.to_owned(),
                need: need.to_owned(),
                standing: Standing::Advice,
                found: format!("{}; the snapshot will lack them", trouble.bare()),
                remedy: trouble.meaning,
            },
        }]
    }
}

async fn look(connection: &Connection) -> Result<(), Trouble> {
    let url = connection.client.cloud().url(Service::Graph, &format!("{REGISTRATIONS}?$top=1"));
    let url =
        url.map_err(|foreign| Trouble::new(Verdict::Stop, Api::GraphReports, "no_service", foreign.to_string(), ""))?;
    connection.client.get_json(Request::get(Api::GraphReports, url).attempts(ATTEMPTS)).await.map(drop)
}
