//! Tests of client and tokens against a scripted service.

mod region;
pub(crate) mod server;
mod trickle;

use std::time::Duration;

use downspout_core::config_values::Secret;
use downspout_core::metrics::ComponentMetrics;
use jiff::Timestamp;

use self::server::{Hit, Reply, Server};
use super::*;
use crate::auth::{Credential, Method as AuthMethod, Platform, TokenSetup};
use crate::clock::plus;
use crate::cloud::{CloudConfig, Service};

pub(crate) const TENANT: &str = "0a1b2c3d-0000-1111-2222-333344445555";

pub(crate) fn start() -> Timestamp {
    "2026-01-05T00:00:00Z".parse().unwrap()
}

fn secret() -> Credential {
    Credential { client_id: "app".to_owned(), method: AuthMethod::Secret(Secret::new("s3cret")) }
}

/// What tokens of a service are fetched with, in a time that leaps.
pub(crate) fn token_setup(server: &Server, credential: Credential) -> TokenSetup {
    TokenSetup {
        http: http_client(None).unwrap(),
        direct: direct_client().unwrap(),
        cloud: CloudConfig::simulator(&server.base).plan().unwrap(),
        clock: Clock::leaping(start()),
        tenant_id: TENANT.to_owned(),
        tenant: "contoso".to_owned(),
        credential,
        platform: Platform::VirtualMachine,
        people: Arc::default(),
        metrics: ComponentMetrics::detached("m365", "source", "office365_management").unwrap(),
    }
}

/// A client of a service, in a time that leaps.
fn client(server: &Server, credential: Credential) -> PoliteClient {
    client_of(token_setup(server, credential))
}

fn client_of(setup: TokenSetup) -> PoliteClient {
    PoliteClient::new(ClientSetup {
        http: setup.http.clone(),
        cloud: setup.cloud.clone(),
        clock: setup.clock.clone(),
        tenant: setup.tenant.clone(),
        publisher_id: TENANT.to_owned(),
        requests_per_minute: None,
        lanes: Arc::default(),
        skew_told: Arc::default(),
        metrics: setup.metrics.clone(),
        tokens: Tokens::new(setup),
    })
}

fn is_login(hit: &Hit) -> bool {
    hit.path.ends_with("/oauth2/v2.0/token")
}

fn ask(client: &PoliteClient) -> Request {
    Request::get(Api::Management, client.cloud().url(Service::Management, "/api/x?a=1").unwrap())
}

/// A service that answers the requests behind the token with `replies` in turn, the last one for ever.
async fn scripted(replies: Vec<Reply>) -> (Server, PoliteClient) {
    let mut replies = replies.into_iter().peekable();
    let mut tokens = 0;
    let server = Server::start(move |hit| {
        if is_login(hit) {
            tokens += 1;
            return Reply::token(&format!("token-{tokens}"), 3600);
        }
        let reply = replies.next().unwrap();
        if replies.peek().is_none() {
            replies = vec![reply.clone()].into_iter().peekable();
        }
        reply
    })
    .await;
    let client = client(&server, secret());
    (server, client)
}

fn good() -> Reply {
    Reply::new(200, "{\"fine\":true}")
}

#[tokio::test]
async fn requests_carry_token_and_publisher_and_tokens_are_kept() {
    let (server, client) = scripted(vec![good()]).await;
    for _ in 0..3 {
        assert_eq!(client.get_json(ask(&client)).await.unwrap().body["fine"], true);
    }
    let hits = server.hits();
    assert_eq!(hits.len(), 4);
    assert_eq!(hits[0].path, format!("/login.microsoftonline.com/{TENANT}/oauth2/v2.0/token"));
    assert_eq!(hits[0].form("scope"), "https://manage.office.com/.default");
    assert_eq!(
        (hits[0].form("client_secret"), hits[0].form("grant_type")),
        ("s3cret".into(), "client_credentials".into())
    );
    assert_eq!(hits[1].headers["authorization"], "Bearer token-1");
    assert_eq!((hits[1].parameter("PublisherIdentifier"), hits[1].parameter("a")), (TENANT, "1"));
    // The token is renewed ahead of its end, without a lost request.
    client.clock().sleep(Duration::from_secs(3400)).await;
    client.get(ask(&client)).await.unwrap();
    assert_eq!(server.hits()[5].headers["authorization"], "Bearer token-2");
}

#[tokio::test]
async fn transient_trouble_is_repeated_and_given_up_in_the_end() {
    let trouble = || vec![Reply::new(503, ""), Reply::af(500, "AF50000"), Reply::new(200, "{\"cut\":").cut()];
    let (server, client) = scripted([trouble(), vec![Reply::new(200, "{broken"), good()]].concat()).await;
    client.get_json(ask(&client)).await.unwrap();
    assert_eq!(server.hits().len(), 6);
    let (server, client) = scripted(vec![Reply::new(502, "bad gateway")]).await;
    let error = client.get(ask(&client).attempts(3)).await.unwrap_err();
    assert_eq!((error.verdict, error.status), (Verdict::Retry, Some(502)));
    assert_eq!(server.hits().len(), 4);
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (server, client) = scripted(vec![Reply::new(401, ""), good()]).await;
    client.get(ask(&client)).await.unwrap();
    assert_eq!(server.hits().len(), 4);
    assert_eq!(server.hits()[3].headers["authorization"], "Bearer token-2");
    let (server, client) = scripted(vec![Reply::af(401, "AF10001")]).await;
    let error = client.get(ask(&client)).await.unwrap_err();
    assert_eq!(error.verdict, Verdict::Stop);
    assert!(error.to_string().contains("ActivityFeed.Read"), "{error}");
    assert_eq!(server.hits().len(), 4);
}

#[tokio::test]
async fn throttling_waits_as_long_as_it_is_told() {
    let date = "Mon, 05 Jan 2026 00:02:00 GMT";
    let cases = [
        (Reply::new(429, "").header("Retry-After", "77"), 77),
        (Reply::new(429, "").header("Retry-After", date).header("Date", "Mon, 05 Jan 2026 00:00:00 GMT"), 119),
        (Reply::af(403, "AF429"), 30),
    ];
    for (reply, seconds) in cases {
        let (_server, client) = scripted(vec![reply, good()]).await;
        let full = client.requests_per_minute(Api::Management);
        client.get(ask(&client)).await.unwrap();
        let waited = crate::clock::between(start(), client.clock().now()).as_secs();
        assert!((seconds..seconds + 4).contains(&waited), "{waited}");
        assert!(client.requests_per_minute(Api::Management) < full);
    }
}

#[tokio::test]
async fn web_pages_and_redirects_are_told_for_what_they_are() {
    let page = Reply::new(200, "<!DOCTYPE html><html>Please sign in</html>");
    let redirect = Reply::new(302, "").header("Location", "http://127.0.0.1:1/steal");
    for (reply, words) in [(page, "a proxy, firewall or sign-in page"), (redirect, "a redirect, which is not followed")]
    {
        let (_server, client) = scripted(vec![reply.clone(), good()]).await;
        client.get(ask(&client)).await.unwrap();
        let (_server, client) = scripted(vec![reply]).await;
        let error = client.get(ask(&client)).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Stop);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn foreign_addresses_get_nothing() {
    let (server, client) = scripted(vec![good()]).await;
    let error = client.accept(Api::Management, "https://evil.example/x").unwrap_err();
    assert_eq!((error.code.as_str(), error.verdict), ("foreign_url", Verdict::Skip));
    let url = format!("{}/graph.microsoft.com/x", server.base).parse().unwrap();
    assert_eq!(client.get(Request::get(Api::Management, url)).await.unwrap_err().code, "foreign_url");
    assert_eq!(server.asked().iter().filter(|line| !line.contains("oauth2")).count(), 0);
}

#[tokio::test]
async fn clocks_are_compared() {
    let (_server, client) = scripted(vec![good().header("Date", "Mon, 05 Jan 2026 01:00:00 GMT")]).await;
    assert_eq!(client.service_now(), start());
    client.get(ask(&client)).await.unwrap();
    let ahead = crate::clock::between(client.clock().now(), client.service_now());
    assert!((3590..=3600).contains(&ahead.as_secs()), "{ahead:?}");
}

#[tokio::test]
async fn connections_that_fail_say_why() {
    let client = client(&Server::dead(), secret());
    let error = client.get(ask(&client).attempts(1)).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("check the network"), "{error}");
}

mod tokens {
    use super::*;

    async fn token(
        credential: Credential,
        mut answer: impl FnMut(&Hit) -> Reply + Send + 'static,
    ) -> (Server, Result<String, String>) {
        let server = Server::start(move |hit| answer(hit)).await;
        let client = client(&server, credential);
        let got = client.tokens().get("https://graph.microsoft.com").await;
        (server, got.map(|token| token.expose().to_owned()).map_err(|error| error.to_string()))
    }

    fn refusal(number: u64) -> Reply {
        let body = serde_json::json!({
            "error": "invalid_client", "error_codes": [number], "error_description": format!("AADSTS{number}: No.\r\nTrace ID: 1"),
        });
        Reply::new(401, body.to_string())
    }

    #[tokio::test]
    async fn a_wrong_secret_is_told_with_its_remedy() {
        let (server, got) = token(secret(), |_| refusal(7_000_215)).await;
        let error = got.unwrap_err();
        assert!(error.contains("AADSTS7000215") && error.contains("the secret's value, not its id"), "{error}");
        assert!(!error.contains("s3cret"));
        assert_eq!(server.hits().len(), 1);
    }

    #[tokio::test]
    async fn many_wait_for_one_token() {
        let server = Server::start(|_| Reply::token("t", 3600)).await;
        let client = client(&server, secret());
        let all = (0..20).map(|_| client.tokens().get("https://graph.microsoft.com"));
        assert!(futures::future::join_all(all).await.iter().all(Result::is_ok));
        assert_eq!(server.hits().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_token_that_dies_among_many_requests_is_replaced() {
        let (mut tokens, mut served) = (0, 0);
        let server = Server::start(move |hit| {
            if is_login(hit) {
                tokens += 1;
                return Reply::token(&format!("token-{tokens}"), 3600);
            }
            served += 1;
            let is_dead = hit.headers["authorization"] == "Bearer token-1" && served > 20;
            if is_dead { Reply::new(401, "") } else { good() }
        })
        .await;
        let client = client(&server, secret());
        let ask = || {
            let client = client.clone();
            tokio::spawn(async move { client.get(ask(&client)).await.map(drop) })
        };
        for asked in futures::future::join_all((0..200).map(|_| ask())).await {
            asked.unwrap().unwrap();
        }
        assert_eq!(server.hits().iter().filter(|hit| is_login(hit)).count(), 2);
    }

    #[tokio::test]
    async fn an_old_token_serves_while_a_renewal_fails() {
        let mut count = 0;
        let server = Server::start(move |_| {
            count += 1;
            if count == 1 { Reply::token("t", 3600) } else { Reply::new(503, "") }
        })
        .await;
        let client = client(&server, secret());
        client.tokens().get("r").await.unwrap();
        client.clock().sleep(Duration::from_secs(3500)).await;
        assert_eq!(client.tokens().get("r").await.unwrap().expose(), "t");
        client.clock().sleep(Duration::from_secs(101)).await;
        assert!(client.tokens().get("r").await.unwrap_err().is_transient());
    }

    #[tokio::test]
    async fn a_federated_token_is_read_anew_for_every_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "first\n").unwrap();
        let server = Server::start(|hit| Reply::token(&hit.form("client_assertion"), 60)).await;
        let credential = Credential { client_id: "app".to_owned(), method: AuthMethod::Federated(path.clone()) };
        let client = client(&server, credential);
        assert_eq!(client.tokens().get("r").await.unwrap().expose(), "first");
        std::fs::write(&path, "second").unwrap();
        client.clock().sleep(Duration::from_secs(61)).await;
        assert_eq!(client.tokens().get("r").await.unwrap().expose(), "second");
        std::fs::remove_file(&path).unwrap();
        client.clock().sleep(Duration::from_secs(61)).await;
        let error = client.tokens().get("r").await.unwrap_err().to_string();
        assert!(error.contains("check the path"), "{error}");
    }

    #[tokio::test]
    async fn a_person_signs_in_once_for_all_resources() {
        let mut polls = 0;
        let server = Server::start(move |hit| {
            if hit.path.ends_with("/devicecode") {
                let code = serde_json::json!({
                    "device_code": "d", "user_code": "ABCD", "verification_uri": "https://x", "interval": 5, "expires_in": 900,
                });
                return Reply::json(&code);
            }
            polls += 1;
            match (hit.form("grant_type").as_str(), polls) {
                ("refresh_token", _) => Reply::token(&format!("refreshed {}", hit.form("refresh_token")), 3600),
                (_, 1) => Reply::new(400, "{\"error\":\"authorization_pending\"}"),
                (_, 2) => Reply::new(400, "{\"error\":\"slow_down\"}"),
                _ => Reply::json(&serde_json::json!({ "access_token": "t", "expires_in": 3600, "refresh_token": "r" })),
            }
        })
        .await;
        let client = client(&server, Credential { client_id: "app".to_owned(), method: AuthMethod::DeviceCode });
        assert_eq!(client.tokens().get("https://graph.microsoft.com").await.unwrap().expose(), "t");
        assert_eq!(client.clock().now(), plus(start(), Duration::from_secs(5 + 5 + 10)));
        assert_eq!(client.tokens().get("https://outlook.office365.com").await.unwrap().expose(), "refreshed r");
    }

    fn code() -> Reply {
        Reply::json(&serde_json::json!({
            "device_code": "d", "user_code": "ABCD", "verification_uri": "https://x", "interval": 5, "expires_in": 900,
        }))
    }

    fn signed_in(refresh: &str) -> Reply {
        Reply::json(&serde_json::json!({ "access_token": "t", "expires_in": 3600, "refresh_token": refresh }))
    }

    fn person() -> Credential {
        Credential { client_id: "app".to_owned(), method: AuthMethod::DeviceCode }
    }

    #[tokio::test]
    async fn a_code_outlives_trouble_on_the_way() {
        let mut polls = 0;
        let (server, got) = token(person(), move |hit| {
            if hit.path.ends_with("/devicecode") {
                return code();
            }
            polls += 1;
            match polls {
                1 => Reply::new(200, "{\"access_").cut(),
                2 => Reply::new(503, ""),
                _ => signed_in("r"),
            }
        })
        .await;
        assert_eq!(got.as_deref(), Ok("t"));
        let codes = server.hits().iter().filter(|hit| hit.path.ends_with("/devicecode")).count();
        assert_eq!(codes, 1);
        // But not for ever.
        let (server, got) =
            token(person(), |hit| if hit.path.ends_with("/devicecode") { code() } else { Reply::new(503, "") }).await;
        assert!(got.is_err());
        assert_eq!(server.hits().len(), 1 + 900 / 5);
    }

    #[tokio::test]
    async fn a_person_is_asked_again_only_if_that_may_help() {
        for (error, number, codes) in
            [("invalid_grant", 50_173, 2), ("interaction_required", 50_076, 2), ("invalid_resource", 500_011, 1)]
        {
            let server = Server::start(move |hit| {
                if hit.path.ends_with("/devicecode") {
                    return code();
                }
                match hit.form("grant_type").as_str() {
                    "refresh_token" => Reply {
                        status: 400,
                        ..Reply::json(&serde_json::json!({ "error": error, "error_codes": [number] }))
                    },
                    _ => signed_in("r"),
                }
            })
            .await;
            let client = client(&server, person());
            client.tokens().get("https://graph.microsoft.com").await.unwrap();
            let second = client.tokens().get("https://outlook.office365.com").await;
            assert_eq!(second.is_ok(), codes == 2, "{error}");
            assert!(second.err().is_none_or(|error| error.to_string().contains(&format!("AADSTS{number}"))));
            let asked = server.hits().iter().filter(|hit| hit.path.ends_with("/devicecode")).count();
            assert_eq!(asked, codes, "{error}");
        }
    }
}
