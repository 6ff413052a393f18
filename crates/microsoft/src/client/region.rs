//! Where in Exchange Online a tenant lives.
//!
//! The administration answers some tenants with a redirect to the machines that hold them. The same request, token
//! included, is then made there, and so are those that follow, until one fails: the tenant may have moved on. The address
//! alone is taken from a redirect, if it is one of the cloud's Exchange ([`Cloud::regional`]); a redirect to another
//! path leads to a sign-in page, and is not followed.

use std::sync::{Mutex, PoisonError};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, LOCATION, SET_COOKIE};
use url::Url;

use crate::cloud::{Cloud, Foreign, Service};

/// How many redirects one request follows.
pub(super) const MOST_REDIRECTS: u32 = 3;

/// More than that a redirect's cookies are not.
const COOKIE_BYTES: usize = 4 << 10;

/// The host that knows the tenant; none, the configured one.
#[derive(Debug, Default)]
pub(super) struct Region(Mutex<Option<Home>>);

#[derive(Debug, Clone)]
struct Home {
    base: Url,
    /// The cookies that came with the redirect: they lead to the right machine behind that host.
    cookies: Option<HeaderValue>,
}

/// Whether a status asks for the same request somewhere else.
pub(super) fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 307 | 308)
}

impl Region {
    /// Where a URL of the configured host is asked, and with which cookies.
    ///
    /// # Errors
    /// If the URL is none of Exchange's.
    pub(super) fn locate(&self, cloud: &Cloud, url: &Url) -> Result<(Url, Option<HeaderValue>), Foreign> {
        match self.home() {
            Some(home) => Ok((cloud.moved(url, &home.base)?, home.cookies)),
            None => Ok((url.clone(), None)),
        }
    }

    /// Takes the address out of a redirect that answered a request to `asked`.
    ///
    /// # Errors
    /// [`Foreign`] if it must not, or cannot, be followed.
    pub(super) fn learn(&self, cloud: &Cloud, asked: &Url, headers: &HeaderMap) -> Result<(), Foreign> {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let location = location.ok_or_else(|| Foreign("the redirect says no address".to_owned()))?;
        let target =
            asked.join(location).map_err(|error| Foreign(format!("the redirect's address is no URL ({error})")))?;
        let base = cloud.regional(&target)?;
        let configured = cloud.url(Service::Exchange, "/")?;
        let path = |url: &Url| cloud.moved(url, &configured).map(|url| url.path().to_ascii_lowercase());
        if path(&target)? != path(asked)? {
            return Err(Foreign(format!("the redirect leads to another path at {base}, perhaps a page to sign in at")));
        }
        *self.lock() = Some(Home { base, cookies: cookies(headers) });
        Ok(())
    }

    /// The tenant is looked for anew.
    pub(super) fn forget(&self) {
        *self.lock() = None;
    }

    fn home(&self) -> Option<Home> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Home>> {
        // Nothing that holds the lock can panic half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The cookies that an answer sets, as a request sends them.
fn cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let set = headers.get_all(SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok());
    let pairs: Vec<&str> = set.filter_map(|cookie| cookie.split(';').next()).map(str::trim).collect();
    let text = pairs.join("; ");
    let mut value =
        HeaderValue::from_str(&text).ok().filter(|value| !value.is_empty() && value.len() <= COOKIE_BYTES)?;
    value.set_sensitive(true);
    Some(value)
}
