//! The peer: the least that an HTTP server can do to return the same bytes.

use std::io;

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;

/// Serves the file's bytes at `/list`.
pub async fn serve(file: &str) -> io::Result<()> {
    let bytes = Bytes::from(std::fs::read(file)?);
    let handler = move || {
        let bytes = bytes.clone();
        async move { ([(CONTENT_TYPE, "application/json")], bytes) }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, Router::new().route("/list", get(handler))).await
}
