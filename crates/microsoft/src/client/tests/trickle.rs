//! Answers that are never silent, and never end.

use super::*;

/// A client that soon loses its patience, and a service that trickles once.
async fn hasty() -> (Server, PoliteClient) {
    let mut asked = 0;
    let server = Server::start(move |hit| {
        if is_login(hit) {
            return Reply::token("t", 3600);
        }
        asked += 1;
        if asked == 1 { good().trickles() } else { good() }
    })
    .await;
    let cloud = serde_json::json!({ "simulator": server.base, "timeout": "100ms" });
    let cloud: CloudConfig = serde_json::from_value(cloud).unwrap();
    let client = client_of(TokenSetup { cloud: cloud.plan().unwrap(), ..token_setup(&server, secret()) });
    (server, client)
}

#[tokio::test]
async fn a_whole_answer_that_trickles_is_asked_for_again() {
    let (server, client) = hasty().await;
    assert_eq!(client.get_json(ask(&client)).await.unwrap().body["fine"], true);
    assert_eq!(server.hits().len(), 3);
}

#[tokio::test]
async fn a_streamed_answer_that_trickles_is_given_up() {
    let (_server, client) = hasty().await;
    let mut body = client.stream(ask(&client)).await.unwrap();
    let trouble = loop {
        match body.chunk().await {
            Ok(chunk) => assert!(chunk.is_some()),
            Err(trouble) => break trouble,
        }
    };
    assert_eq!((trouble.verdict, trouble.code.as_str()), (Verdict::Retry, "timeout"));
    assert!(trouble.to_string().contains("the answer trickles"), "{trouble}");
}
