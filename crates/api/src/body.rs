//! Reading a request's body within its limits.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::{Error, ErrorKind, Result};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use crate::body_memory::Share;

/// The largest body that is served.
pub const MAX_BODY: usize = 1024 * 1024;

/// A larger body is read and dropped up to here, so that a client that sends before it listens sees the refusal.
pub const MAX_DRAINED: usize = 16 * 1024 * 1024;

/// A body must have arrived by then.
const TIME_LIMIT: Duration = Duration::from_secs(30);

/// Reads the body into a share of the memory for bodies.
///
/// # Errors
/// `TooLarge` above [`MAX_BODY`]; `Invalid` if the client breaks off or is too slow; `Unavailable` or `Limited` if there is
/// no room for it.
pub(crate) async fn read(body: Incoming, share: &mut Share) -> Result<Bytes> {
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let slow = |_| Error::new(ErrorKind::Invalid, "the body did not arrive within 30 seconds");
    tokio::time::timeout(TIME_LIMIT, read_all(body, share)).await.map_err(slow)?
}

/// Reads a body that nobody wants and drops it, so that a client that sends before it listens sees why.
pub(crate) async fn drain(body: Incoming) {
    if !body.is_end_stream() {
        drop(tokio::time::timeout(TIME_LIMIT, drain_from(body, 0)).await);
    }
}

async fn read_all(mut body: Incoming, share: &mut Share) -> Result<Bytes> {
    let mut kept = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let broken = |_| Error::new(ErrorKind::Invalid, "the body broke off");
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        let arrived = kept.len().saturating_add(data.len());
        let room = if arrived > MAX_BODY {
            Err(Error::new(ErrorKind::TooLarge, format!("the body must be at most {MAX_BODY} bytes")))
        } else {
            share.grow(data.len())
        };
        if let Err(error) = room {
            drop((kept, data));
            share.clear();
            drain_from(body, arrived).await;
            return Err(error);
        }
        kept.extend_from_slice(&data);
    }
    Ok(kept.freeze())
}

async fn drain_from(mut body: Incoming, mut total: usize) {
    while let Some(Ok(frame)) = body.frame().await {
        total = total.saturating_add(frame.data_ref().map_or(0, Bytes::len));
        if total > MAX_DRAINED {
            break;
        }
    }
}
