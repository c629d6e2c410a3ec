//! Reading a request's body within its limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::{Error, ErrorKind, Result};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

/// The largest body that is served.
pub const MAX_BODY: usize = 1024 * 1024;

/// A larger body is read and dropped up to here, so that a client that sends before it listens sees the refusal.
pub const MAX_DRAINED: usize = 16 * 1024 * 1024;

/// A body must have arrived by then.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Reads the body.
///
/// # Errors
/// `TooLarge` above [`MAX_BODY`]; `Invalid` if the client breaks off or is too slow.
pub async fn read(body: Incoming) -> Result<Bytes> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let slow = |_| Error::new(ErrorKind::Invalid, "the body did not arrive within 30 seconds");
    tokio::time::timeout(TIME_LIMIT, read_all(body)).await.map_err(slow)?
}

async fn read_all(mut body: Incoming) -> Result<Bytes> {
    let mut kept = BytesMut::new();
    let mut total = 0_usize;
    while let Some(frame) = body.frame().await {
        let broken = |_| Error::new(ErrorKind::Invalid, "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        total = total.saturating_add(data.len());
        if total <= MAX_BODY {
            kept.extend_from_slice(&data);
        } else if total > MAX_DRAINED {
            break;
        } else {
            kept.clear();
        }
    }
    if total > MAX_BODY {
        return Err(Error::new(ErrorKind::TooLarge, format!("the body must be at most {MAX_BODY} bytes")));
    }
    Ok(kept.freeze())
}
