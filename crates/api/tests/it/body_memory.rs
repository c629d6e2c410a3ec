//! Bodies of people whom nobody knows yet.

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;

const LIST: &str = "/api/v3/access-policies";

#[tokio::test]
async fn where_there_is_no_room_for_a_body_one_is_told_when_to_come_again() {
    let server = Server::start_with_body_memory(60_000).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head =
        format!("POST {LIST} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nContent-Length: 50001\r\n\r\n");
    slow.write_all(&[head.as_bytes(), &[b' '; 50_000]].concat()).await.unwrap();
    // Until the server has read what was sent, there is room.
    let body = [b' '; 20_000];
    let mut answer = server.as_root("POST", LIST, &body).await;
    for _ in 0..1000 {
        if answer.status != 400 {
            break;
        }
        answer = server.as_root("POST", LIST, &body).await;
    }
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")));
    assert!(answer.json()["error_msg"].as_str().unwrap().contains("try again"), "in the vendor's words");
    let ours = server.as_root("POST", "/bailiwick/v1/clusters", &body).await;
    assert_eq!((ours.status, &ours.json()["error"]["code"]), (503, &json!("unavailable")));
    assert_eq!(server.as_root("GET", LIST, b"").await.status, 200, "what has no body needs no room");
    slow.write_all(b" ").await.unwrap();
    slow.read_to_end(&mut Vec::new()).await.unwrap();
    assert_eq!(server.as_root("POST", LIST, &body).await.status, 400, "there is room again");
}
