//! Exchange Online's administration over REST: the endpoint behind PowerShell's module, which runs cmdlets.

pub(crate) mod wire;

use bytes::Bytes;
use reqwest::header::{ACCEPT, HeaderName};
use url::Url;

use crate::client::{Api, PoliteClient, Request, Trouble, Verdict};
use crate::cloud::Service;

/// The mailbox of every tenant by which requests find their way to a machine that knows the tenant.
const ANCHOR: &str = "SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}";

/// More pages than that no list has: a thousand objects stand on each.
const MOST_PAGES: usize = 2_000;

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
        Ok(self.client.get(self.request(self.url()?, cmdlet, parameters)).await?.body)
    }

    /// As [`Exchange::invoke`], but asks once only: for cmdlets that go on from call to call, and would take a repeated
    /// call whose answer was lost for the next.
    ///
    /// # Errors
    /// [`Trouble`], also if it will pass.
    pub(crate) async fn invoke_once(&self, cmdlet: &str, parameters: &wire::Parameters) -> Result<Bytes, Trouble> {
        Ok(self.client.get(self.request(self.url()?, cmdlet, parameters).attempts(1)).await?.body)
    }

    fn url(&self) -> Result<Url, Trouble> {
        let path = format!("/adminapi/beta/{}/InvokeCommand", self.tenant_id);
        self.client.cloud().url(Service::Exchange, &path).map_err(|foreign| {
            let meaning = "this source needs Exchange's administration; see `cloud`";
            Trouble::new(Verdict::Stop, Api::Exchange, "no_service", foreign.to_string(), meaning)
        })
    }

    /// Runs a cmdlet that lists objects, and gives all its pages: the bodies, and what is in them.
    ///
    /// # Errors
    /// [`Trouble`], when repeating did not help.
    pub(crate) async fn list(
        &self,
        cmdlet: &str,
        parameters: &wire::Parameters,
    ) -> Result<Vec<(Bytes, wire::Answer)>, Trouble> {
        let mut pages = Vec::new();
        let mut url = self.url()?;
        loop {
            let request = self.request(url, cmdlet, parameters);
            let read = |body: &Bytes| wire::Answer::parse(body).map(|answer| (body.clone(), answer));
            let page = self.client.get_read(request, read).await?.body;
            let link = wire::next_link(&page.0).unwrap_or_default();
            pages.push(page);
            let Some(link) = link else { return Ok(pages) };
            if pages.len() > MOST_PAGES {
                let told = format!("{MOST_PAGES} pages and no end");
                return Err(Trouble::new(Verdict::Stop, Api::Exchange, "endless", told, "please report it"));
            }
            url = self.client.accept(Api::Exchange, &link)?;
        }
    }

    fn request(&self, url: Url, cmdlet: &str, parameters: &wire::Parameters) -> Request {
        let mut request = Request::post(Api::Exchange, url)
            .header(ACCEPT, "application/json")
            .header(HeaderName::from_static("x-anchormailbox"), &format!("UPN:{ANCHOR}@{}", self.tenant_id))
            .header(HeaderName::from_static("x-cmdletname"), cmdlet)
            .header(HeaderName::from_static("x-responseformat"), "json");
        request.body = Some(wire::body(cmdlet, parameters).into());
        request
    }
}
