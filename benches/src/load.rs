//! The load: the same bytes again and again over kept-open connections. It parses no more than it must, so that the
//! machine is the servers'.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Sends one request and gives the body of its answer.
pub async fn one(address: SocketAddr, request: &str) -> io::Result<Vec<u8>> {
    let mut connection = Connection::open(address).await?;
    connection.send(request).await?;
    Ok(connection.body)
}

/// Sends one request and gives a header of its answer.
pub async fn header(address: SocketAddr, request: &str, name: &str) -> io::Result<String> {
    let mut connection = Connection::open(address).await?;
    connection.send(request).await?;
    let text = String::from_utf8_lossy(&connection.buffer);
    let head = text.split("\r\n\r\n").next().unwrap_or_default();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let found = lines.find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.to_owned()).ok_or_else(|| io::Error::other(format!("no header {name}")))
}

/// Sends `total` requests over `connections` connections, each waiting for its answer.
pub async fn many(address: SocketAddr, request: &str, connections: usize, total: usize) -> io::Result<()> {
    let mut tasks = Vec::with_capacity(connections);
    for _ in 0..connections {
        let request = request.to_owned();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            for _ in 0..total / connections {
                connection.send(&request).await?;
            }
            Ok::<_, io::Error>(())
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(())
}

/// Sends these requests, each once, over `connections` connections, each waiting for its answer.
pub async fn each(address: SocketAddr, requests: Vec<String>, connections: usize) -> io::Result<()> {
    let share = requests.len().div_ceil(connections);
    let mut tasks = Vec::with_capacity(connections);
    for requests in requests.chunks(share) {
        let requests = requests.to_vec();
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(address).await?;
            for request in &requests {
                connection.send(request).await?;
            }
            Ok::<_, io::Error>(())
        }));
    }
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(())
}

/// A connection that is kept open.
pub struct Connection<S> {
    stream: S,
    buffer: Vec<u8>,
    body: Vec<u8>,
}

impl Connection<TcpStream> {
    /// Opens it anew if the answer said that it would be closed.
    pub async fn reopened(self, address: SocketAddr) -> io::Result<Self> {
        let head = self.buffer.len().saturating_sub(self.body.len());
        let head = String::from_utf8_lossy(self.buffer.get(..head).unwrap_or_default());
        if head.lines().any(|line| line.eq_ignore_ascii_case("connection: close")) {
            Self::open(address).await
        } else {
            Ok(self)
        }
    }

    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over what is connected already.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::with_capacity(64 * 1024), body: Vec::new() }
    }

    /// Sends one request and gives the body of its answer.
    pub async fn send(&mut self, request: &str) -> io::Result<&[u8]> {
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        let (head, length) = loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(found) = head(&self.buffer)? {
                break found;
            }
        };
        while self.buffer.len() < head + length {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        self.body.clear();
        self.body.extend_from_slice(self.buffer.get(head..head + length).unwrap_or_default());
        Ok(&self.body)
    }
}

/// The length of the head and of the body that it announces, once the head is there. Any status but 200, 201 and 204 is
/// an error: a fast refusal is not a figure.
fn head(buffer: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(buffer.get(..end).unwrap_or_default()).to_ascii_lowercase();
    if text.starts_with("http/1.1 204") {
        return Ok(Some((end + 4, 0)));
    }
    if !text.starts_with("http/1.1 200") && !text.starts_with("http/1.1 201") {
        return Err(io::Error::other(format!("refused: {text}")));
    }
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    length.map(|length| Some((end + 4, length))).ok_or_else(|| io::Error::other("no length"))
}
