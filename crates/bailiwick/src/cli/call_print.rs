//! The same call for other tools: a curl command that is signed already, and a Python script that signs by itself.
//! Neither holds the secret.

use crate::client::{Client, Request};
use crate::failure::Failure;
use signing::DATE_HEADER;

/// A curl command. Its signature is good for some minutes only.
///
/// # Errors
/// Usage, if the body is not text.
pub fn curl(client: &Client<'_>, request: &Request) -> Result<String, Failure> {
    let mut words = vec!["curl -sS --path-as-is --globoff".to_owned()];
    words.push(match request.method.as_str() {
        // Told the method only, curl would wait for the body of the answer.
        "HEAD" => "--head".to_owned(),
        method => format!("-X {method}"),
    });
    for (name, value) in client.headers(request) {
        words.push(format!("-H {}", quoted(&format!("{name}: {value}"))));
    }
    let body = text(request)?;
    if !body.is_empty() {
        words.push(format!("--data-raw {}", quoted(body)));
    }
    words.push(quoted(&format!("{}{}", client.server().as_str(), request.target)));
    Ok(format!("{}\n", words.join(" \\\n  ")))
}

/// A script for Python 3 without further packages.
///
/// # Errors
/// Usage, if the body is not text.
pub fn python(client: &Client<'_>, request: &Request) -> Result<String, Failure> {
    let own = ["authorization", DATE_HEADER];
    let headers: Vec<String> = client
        .headers(request)
        .iter()
        .filter(|(name, _)| !own.contains(&name.as_str()))
        .map(|(name, value)| format!("    {}: {},\n", literal(name), literal(value)))
        .collect();
    let constants = format!(
        "SERVER = {}\nMETHOD = {}\nTARGET = {}\nHEADERS = {{\n{}}}\nBODY = {}.encode()\n",
        literal(client.server().as_str()),
        literal(&request.method),
        literal(&request.target),
        headers.concat(),
        literal(text(request)?)
    );
    Ok(format!("{PYTHON_HEAD}{constants}{PYTHON_BODY}"))
}

fn text(request: &Request) -> Result<&str, Failure> {
    std::str::from_utf8(&request.body).map_err(|_| Failure::usage("a body that is printed must be text"))
}

/// One word for a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A string literal that JSON and Python read alike: characters beyond ASCII stand as they are.
fn literal(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

const PYTHON_HEAD: &str = r#"#!/usr/bin/env python3
"""Signs and sends one call. Reads BAILIWICK_ACCESS_KEY_ID and BAILIWICK_SECRET_ACCESS_KEY."""
import datetime, hashlib, hmac, http.client, os, ssl, sys
from urllib.parse import quote, unquote, urlsplit

"#;

const PYTHON_BODY: &str = r#"

def encode(text):
    return quote(text, safe="-_.~")


def sign(key, secret):
    now = datetime.datetime.now(datetime.timezone.utc)
    HEADERS["x-sdk-date"] = date = now.strftime("%Y%m%dT%H%M%SZ")
    path, _, query = TARGET.partition("?")
    path = "/".join(encode(piece) for piece in unquote(path).split("/"))
    path = path if path.endswith("/") else path + "/"
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    pairs = sorted((unquote(name), unquote(value)) for name, _, value in pairs)
    names = sorted(HEADERS)
    canonical = "\n".join([
        METHOD,
        path,
        "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs),
        "".join(f"{name}:{HEADERS[name].strip()}\n" for name in names),
        ";".join(names),
        hashlib.sha256(BODY).hexdigest(),
    ])
    text = "\n".join(["SDK-HMAC-SHA256", date, hashlib.sha256(canonical.encode()).hexdigest()])
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    HEADERS["authorization"] = (
        f"SDK-HMAC-SHA256 Access={key}, SignedHeaders={';'.join(names)}, Signature={signature}"
    )


sign(os.environ["BAILIWICK_ACCESS_KEY_ID"], os.environ["BAILIWICK_SECRET_ACCESS_KEY"])
server = urlsplit(SERVER)
if server.scheme == "https":
    trust = ssl.create_default_context(cafile=os.environ.get("BAILIWICK_CA_FILE"))
    connection = http.client.HTTPSConnection(server.hostname, server.port, timeout=60, context=trust)
else:
    connection = http.client.HTTPConnection(server.hostname, server.port, timeout=60)
connection.request(METHOD, TARGET, body=BODY or None, headers=HEADERS)
answer = connection.getresponse()
print(answer.read().decode())
sys.exit(0 if answer.status < 300 else f"error: {answer.status} {answer.reason}")
"#;
