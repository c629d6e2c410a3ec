//! Requests that the vendors' own SDKs sent, byte for byte, as the files of `tests/recorded` hold them.

use std::path::Path;
use std::sync::Arc;

use api::head::{Head, Plus};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use service::Origin;

/// A request in parts that a test may change before it is read.
#[derive(Clone)]
pub struct Recorded {
    pub name: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// All of one vendor's.
pub fn all(vendor: &str) -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recorded").join(vendor);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = file.file_stem().unwrap().to_str().unwrap();
            Recorded::parse(name, &std::fs::read(file).unwrap())
        })
        .collect()
}

/// One of them.
pub fn one(vendor: &str, name: &str) -> Recorded {
    all(vendor).into_iter().find(|recorded| recorded.name == name).unwrap()
}

impl Recorded {
    fn parse(name: &str, bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let mut words = lines.next().unwrap().split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").or_else(|| line.split_once(':')).unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut body = bytes[end + 4..].to_vec();
        if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
            body = unchunked(&body);
        }
        Self { name: name.to_owned(), method, target, headers, body }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The same with a header changed, or removed.
    pub fn with_header(&self, name: &str, value: Option<&str>) -> Self {
        let mut changed = self.clone();
        changed.headers.retain(|(known, _)| known != name);
        changed.headers.extend(value.map(|value| (name.to_owned(), value.to_owned())));
        changed
    }

    /// The pairs of its query as they are on the wire.
    pub fn pairs(&self) -> Vec<String> {
        let query = self.target.split_once('?').map_or("", |(_, query)| query);
        query.split('&').filter(|pair| !pair.is_empty()).map(str::to_owned).collect()
    }

    /// The same with another query.
    pub fn with_pairs(&self, pairs: &[String]) -> Self {
        let path = self.target.split('?').next().unwrap();
        let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
        Self { target: format!("{path}{query}"), ..self.clone() }
    }

    /// The request as the server reads it. `None` if it refuses to.
    pub fn read(&self, plus: Plus) -> Option<Head> {
        let mut request = http::Request::builder().method(self.method.as_str()).uri(&self.target);
        for (name, value) in &self.headers {
            request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Head::read(request.body(()).unwrap().into_parts().0, origin(), plus).ok()
    }

    /// The request though the server would refuse its path, whose signature can be right nevertheless.
    pub fn read_whatever_the_path(&self) -> Head {
        let uri: Uri = self.target.parse().unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        Head {
            method: Method::from_bytes(self.method.as_bytes()).unwrap(),
            raw_path: uri.path().to_owned(),
            path: uri.path().to_owned(),
            query: Vec::new(),
            headers,
            origin: origin(),
        }
    }

    /// The bytes to send, for a server that need not keep the connection.
    pub fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let framing = ["connection", "content-length", "transfer-encoding"];
        for (name, value) in self.headers.iter().filter(|(name, _)| !framing.contains(&name.as_str())) {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("connection: close\r\ncontent-length: {}\r\n\r\n", self.body.len()));
        [text.as_bytes(), &self.body].concat()
    }
}

fn origin() -> Origin {
    Origin {
        request_id: Arc::from("r"),
        source: Arc::from("s"),
        at: domain::Timestamp::from_millis(0),
        dialect: "",
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
}
