//! Which proxy stands between here and a host, for messages: the HTTP client finds its way by itself.

use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// What messages call the proxy that requests to `url` go through, by the rules that the HTTP client has: `the proxy
/// http://proxy:3128 (HTTPS_PROXY)`, without the password. `None` if they go straight.
pub(crate) fn on_the_way_to(url: &Url) -> Option<String> {
    let proxy = Matcher::from_system().intercept(&url.as_str().parse().ok()?)?;
    let (address, mut told) = (proxy.uri(), String::from("the proxy "));
    if let Some(scheme) = address.scheme_str() {
        told += &format!("{scheme}://");
    }
    told += address.host().unwrap_or_default();
    if let Some(port) = address.port_u16() {
        told += &format!(":{port}");
    }
    let own = if url.scheme() == "https" { ["HTTPS_PROXY", "https_proxy"] } else { ["HTTP_PROXY", "http_proxy"] };
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if let Some(variable) = own.into_iter().chain(["ALL_PROXY", "all_proxy"]).find(is_set) {
        told += &format!(" ({variable})");
    }
    Some(told)
}

/// What is said behind trouble that a proxy may have made; nothing if there is none.
pub(crate) fn note(url: &Url) -> String {
    on_the_way_to(url).map(|proxy| format!("; requests to that host go through {proxy}")).unwrap_or_default()
}
