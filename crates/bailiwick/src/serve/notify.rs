//! Tells the service manager that started us where we are: the datagrams of systemd's `Type=notify`.
//!
//! Without `NOTIFY_SOCKET` nobody asked, and nothing is sent.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;

/// What there is to tell.
#[derive(Clone, Copy, Debug)]
pub enum Stage {
    /// Requests are answered.
    Ready,
    /// The end has begun.
    Stopping,
}

impl Stage {
    fn datagram(self) -> &'static [u8] {
        match self {
            Self::Ready => b"READY=1\n",
            Self::Stopping => b"STOPPING=1\n",
        }
    }
}

/// Tells it to whoever listens on the socket. A service manager that cannot be told is no reason not to serve.
pub fn tell(socket: Option<&Path>, stage: Stage) {
    let Some(path) = socket else { return };
    if let Err(error) = send(path, stage) {
        tracing::warn!(?error, "cannot tell the service manager on {}: {stage:?}", path.display());
    }
}

fn send(path: &Path, stage: Stage) -> std::io::Result<()> {
    // A name that begins with `@` is no file but a name in the kernel.
    let address = match path.as_os_str().as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    UnixDatagram::unbound()?.send_to_addr(stage.datagram(), &address).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_manager_is_told_by_a_file_or_by_a_name_in_the_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notify");
        let name = format!("bailiwick-test-{}", std::process::id());
        let listeners = [
            (UnixDatagram::bind(&file).unwrap(), file),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (listener, path) in listeners {
            tell(Some(&path), Stage::Ready);
            tell(Some(&path), Stage::Stopping);
            for expected in ["READY=1\n", "STOPPING=1\n"] {
                let mut heard = [0; 64];
                let length = listener.recv(&mut heard).unwrap();
                assert_eq!(&heard[..length], expected.as_bytes());
            }
        }
    }

    #[test]
    fn a_service_manager_that_is_gone_is_an_error_and_no_more() {
        assert!(send(Path::new("/nowhere/notify"), Stage::Ready).is_err());
        tell(Some(Path::new("/nowhere/notify")), Stage::Ready);
        tell(None, Stage::Stopping);
    }
}
