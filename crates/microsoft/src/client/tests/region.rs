//! Exchange's redirects: followed to its own regional hosts, and nowhere else.

use super::*;

const PATH: &str = "/adminapi/beta/t/InvokeCommand";

fn command(client: &PoliteClient) -> Request {
    let url = client.cloud().url(Service::Exchange, PATH).unwrap();
    Request::post(Api::Exchange, url).json(&serde_json::json!({ "CmdletInput": 1 })).attempts(2)
}

/// A service whose Exchange is as `answer` says, by host and request.
async fn exchange(mut answer: impl FnMut(&str, &Hit) -> Reply + Send + 'static) -> (Server, PoliteClient) {
    let server = Server::start(move |hit| {
        if is_login(hit) {
            return Reply::token("t", 86_400);
        }
        let host = hit.path.trim_start_matches('/').split('/').next().unwrap_or_default().to_owned();
        answer(&host, hit)
    })
    .await;
    let client = client(&server, secret());
    (server, client)
}

/// The hosts that were asked for anything but tokens, in order.
fn hosts(server: &Server) -> Vec<String> {
    let host = |hit: Hit| hit.path.split('/').nth(1).unwrap_or_default().to_owned();
    server.hits().into_iter().filter(|hit| !is_login(hit)).map(host).collect()
}

fn to(location: &str) -> Reply {
    Reply::new(302, "").header("Location", location)
}

#[tokio::test]
async fn a_redirect_inside_exchange_is_followed_and_remembered() {
    let (server, client) = exchange(|host, _| match host {
        "outlook.office365.com" => {
            to(&format!("/eur.prod.outlook.com{PATH}")).header("Set-Cookie", "affinity=a1; path=/; secure")
        }
        _ => good(),
    })
    .await;
    for _ in 0..2 {
        client.get_json(command(&client)).await.unwrap();
    }
    assert_eq!(hosts(&server), ["outlook.office365.com", "eur.prod.outlook.com", "eur.prod.outlook.com"]);
    for hit in &server.hits()[2..] {
        assert_eq!((hit.method.as_str(), hit.body.as_str()), ("POST", r#"{"CmdletInput":1}"#));
        assert_eq!(
            (hit.headers["authorization"].as_str(), hit.headers["cookie"].as_str()),
            ("Bearer t", "affinity=a1")
        );
    }
    // What the regional host lists further is asked there.
    let link = format!("{}/eur.prod.outlook.com{PATH}?$skiptoken=x", server.base);
    let next = client.accept(Api::Exchange, &link).unwrap();
    client.get(Request::post(Api::Exchange, next)).await.unwrap();
    let last = server.hits().pop().unwrap();
    assert_eq!((last.path.clone(), last.parameter("$skiptoken")), (format!("/eur.prod.outlook.com{PATH}"), "x"));
}

#[tokio::test]
async fn a_tenant_that_moved_on_is_looked_for_anew() {
    let mut home = "old.prod.outlook.com";
    let (server, client) = exchange(move |host, _| match host {
        "outlook.office365.com" => to(&format!("/{home}{PATH}")),
        "old.prod.outlook.com" if std::mem::replace(&mut home, "new.prod.outlook.com").starts_with("new") => {
            Reply::new(503, "")
        }
        _ => good(),
    })
    .await;
    for _ in 0..2 {
        client.get_json(command(&client)).await.unwrap();
    }
    let front = "outlook.office365.com";
    let expected = [front, "old.prod.outlook.com", "old.prod.outlook.com", front, "new.prod.outlook.com"];
    assert_eq!(hosts(&server), expected);
}

#[tokio::test]
async fn no_token_follows_a_redirect_out_of_exchange() {
    let stranger = Server::start(|_| good()).await;
    let outside = [
        format!("{}/eur.prod.outlook.com{PATH}", stranger.base),
        format!("{}{PATH}", stranger.base),
        format!("//{}{PATH}", stranger.base.trim_start_matches("http://")),
        format!("/manage.office.com{PATH}"),
        format!("/outlook.office365.com.evil.example{PATH}"),
        format!("/evilprod.outlook.com{PATH}"),
        format!("/eur.prod.outlook.com/../manage.office.com{PATH}"),
        "/eur.prod.outlook.com/owa/auth/logon.aspx".to_owned(),
        "http://[".to_owned(),
    ];
    for location in outside {
        let answer = to(&location).header("Set-Cookie", "a=b");
        let (server, client) = exchange(move |_, _| answer.clone()).await;
        let error = client.get(command(&client)).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Stop, "{location}");
        assert!(error.to_string().contains("a redirect that is not followed"), "{error}");
        assert_eq!(hosts(&server), ["outlook.office365.com"; 2], "{location}");
        assert_eq!(stranger.hits().len(), 0, "{location}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let (server, client) = exchange(|host, _| {
        to(&format!("/{}.prod.outlook.com{PATH}", if host.starts_with("ping") { "pong" } else { "ping" }))
    })
    .await;
    let error = client.get(command(&client)).await.unwrap_err();
    assert_eq!((error.verdict, error.status), (Verdict::Stop, Some(302)));
    let once = ["outlook.office365.com", "ping.prod.outlook.com", "pong.prod.outlook.com", "ping.prod.outlook.com"];
    assert_eq!(hosts(&server), [once, once].concat());
}

#[tokio::test]
async fn a_redirect_that_turns_a_command_into_a_look_is_not_followed() {
    let reply = Reply::new(303, "").header("Location", &format!("/eur.prod.outlook.com{PATH}"));
    let (server, client) = exchange(move |_, _| reply.clone()).await;
    assert_eq!(client.get(command(&client)).await.unwrap_err().verdict, Verdict::Stop);
    assert_eq!(hosts(&server), ["outlook.office365.com"; 2]);
}
