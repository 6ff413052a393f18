//! Requests and answers, as sources see them.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::api::Api;
use crate::cloud::Service;

/// How often a request is made before its trouble becomes the source's.
const ATTEMPTS: u32 = 6;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose budget and token.
    pub api: Api,
    /// GET or POST.
    pub method: Method,
    /// Where to; checked against the cloud.
    pub url: Url,
    /// Headers beyond those of the client.
    pub headers: HeaderMap,
    /// JSON, or nothing.
    pub body: Option<Bytes>,
    /// How often it is made before transient trouble is given up.
    pub attempts: u32,
    /// Which service the URL and the token belong to; the API's own unless changed.
    pub service: Service,
}

impl Request {
    /// A GET.
    pub fn get(api: Api, url: Url) -> Request {
        Request {
            api,
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            attempts: ATTEMPTS,
            service: api.service(),
        }
    }

    /// A POST without a body.
    pub fn post(api: Api, url: Url) -> Request {
        Request { method: Method::POST, ..Request::get(api, url) }
    }

    /// Adds a header. A value that no header can hold is left out.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Request {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sends JSON.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Request {
        Request { body: Some(body.to_string().into()), ..self }
    }

    /// Gives transient trouble up after that many attempts.
    #[must_use]
    pub fn attempts(self, attempts: u32) -> Request {
        Request { attempts: attempts.max(1), ..self }
    }

    /// Another service of the same API's budget.
    #[must_use]
    pub fn service(self, service: Service) -> Request {
        Request { service, ..self }
    }
}

/// A good answer.
#[derive(Debug, Clone)]
pub struct Answer<T> {
    /// 200 to 299.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: T,
}
