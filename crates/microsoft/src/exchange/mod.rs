//! Exchange Online's administration over REST: the endpoint behind PowerShell's module, which runs cmdlets.

pub(crate) mod wire;

use bytes::Bytes;
use reqwest::header::{ACCEPT, HeaderName};

use crate::client::{Api, PoliteClient, Request, Trouble, Verdict};
use crate::cloud::Service;

/// The mailbox of every tenant by which requests find their way to a machine that knows the tenant.
const ANCHOR: &str = "SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}";

/// One tenant's endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    client: PoliteClient,
    tenant_id: String,
}

impl Exchange {
    pub(crate) fn new(client: PoliteClient, tenant_id: &str) -> Exchange {
        Exchange { client, tenant_id: tenant_id.to_owned() }
    }

    pub(crate) fn client(&self) -> &PoliteClient {
        &self.client
    }

    /// Runs a cmdlet, and gives the body of its answer.
    ///
    /// # Errors
    /// [`Trouble`], when repeating did not help.
    pub(crate) async fn invoke(&self, cmdlet: &str, parameters: &wire::Parameters) -> Result<Bytes, Trouble> {
        let path = format!("/adminapi/beta/{}/InvokeCommand", self.tenant_id);
        let url = self.client.cloud().url(Service::Exchange, &path).map_err(|foreign| {
            let meaning = "this source needs Exchange's administration; see `cloud`";
            Trouble::new(Verdict::Stop, Api::Exchange, "no_service", foreign.to_string(), meaning)
        })?;
        let mut request = Request::post(Api::Exchange, url)
            .header(ACCEPT, "application/json")
            .header(HeaderName::from_static("x-anchormailbox"), &format!("UPN:{ANCHOR}@{}", self.tenant_id))
            .header(HeaderName::from_static("x-cmdletname"), cmdlet)
            .header(HeaderName::from_static("x-responseformat"), "json");
        request.body = Some(wire::body(cmdlet, parameters).into());
        Ok(self.client.get(request).await?.body)
    }
}
