//! Projects in numbered pages.

use crate::server::{Answer, Server, borrowed};

async fn get(server: &Server, path: &str, query: &[(&str, &str)]) -> Answer {
    let headers = server.signed("GET", path, query, b"");
    let text: Vec<String> = query.iter().map(|(key, value)| format!("{key}={value}")).collect();
    server.send("GET", &format!("{path}?{}", text.join("&")), &borrowed(&headers), b"").await
}

#[tokio::test]
async fn projects_come_in_the_pages_that_are_asked_for() {
    let server = Server::start().await;
    for n in 0..4 {
        let body = format!(r#"{{"name":"p{n}"}}"#);
        assert_eq!(server.as_root("POST", "/bailiwick/v1/projects", body.as_bytes()).await.status, 201);
    }
    let own = format!("/v3/users/{}/projects", server.root.root.id);
    for path in ["/v3/projects", "/v3/auth/projects", own.as_str()] {
        let all = get(&server, path, &[]).await.json()["projects"].as_array().unwrap().clone();
        assert!(all.len() >= 4, "{path}");
        let mut seen = Vec::new();
        for page in 1.. {
            let page = page.to_string();
            let answer = get(&server, path, &[("page", &page), ("per_page", "2")]).await.json();
            let found = answer["projects"].as_array().unwrap().clone();
            assert!(found.len() <= 2, "{path}");
            if found.is_empty() {
                break;
            }
            seen.extend(found);
        }
        assert_eq!(seen, all, "{path}");
        assert_eq!(
            get(&server, path, &[("per_page", "1")]).await.json()["projects"].as_array().unwrap().len(),
            1
        );
        for (key, wrong) in [("page", "x"), ("page", "0"), ("per_page", "-1"), ("per_page", "5001")] {
            let answer = get(&server, path, &[(key, wrong)]).await;
            assert_eq!(answer.status, 400, "{path} {key}={wrong}");
            assert!(String::from_utf8(answer.body).unwrap().contains(key), "{path} {key}={wrong}");
        }
    }
}
