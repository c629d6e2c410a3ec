//! HTTP: one listener, several dialects.
//!
//! A request goes through [`head`] (one reading of its path, query and headers), [`dispatch`] (which dialect, which
//! operation), [`authn`] (exactly one credential), the dialect's handler (translate, call `service`, translate back).
//! Every failure on the way, from a malformed path to a panic, is put into words by the dialect that claimed the
//! request, because a client that cannot parse an error shows its user nothing.

pub mod actions;
pub mod authn;
pub mod body;
mod body_memory;
mod checklist;
pub mod dialects;
pub mod dispatch;
pub mod head;
pub mod json;
pub mod listener;
pub mod metrics;
pub mod operation;
mod places;
mod refusal;
pub mod reply;
mod tls;
mod vended;
mod vocabulary;

use std::path::PathBuf;
use std::sync::Arc;

use domain::Entropy;
use service::Service;

pub use checklist::checklist;
pub use listener::{Limits, Listener};
pub use tls::{Tls, TlsStatus};
pub use vocabulary::vocabulary;

/// What handlers are given besides the request.
pub struct App {
    /// The door.
    pub service: Arc<Service>,
    /// For request ids.
    pub entropy: Arc<dyn Entropy>,
    /// What can be set.
    pub settings: Settings,
    pub(crate) dialects: Vec<Arc<dyn operation::Dialect>>,
    actions: Vec<(&'static str, actions::Actions)>,
    pub(crate) tls: Option<Tls>,
    pub(crate) bodies: Arc<body_memory::BodyMemory>,
}

/// What can be set about the dialects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What each dialect lets one set.
    pub dialects: dialects::Settings,
    /// Whether this server shows a demo; every answer then says so in a header.
    pub demo: Demo,
    /// Where the first start wrote what it generated: as long as it lies there, somebody should be reminded.
    pub bootstrap_file: Option<PathBuf>,
}

/// Whether a server shows a demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demo {
    /// Real use.
    No,
    /// A sample fleet.
    Yes,
}

impl App {
    /// Puts the dialects on the door.
    ///
    /// # Errors
    /// `Internal` if two operations of one dialect share method and path, or an authorization table is broken: defects
    /// that the first start shows.
    pub fn new(service: Arc<Service>, entropy: Arc<dyn Entropy>, settings: Settings) -> domain::Result<Self> {
        let (dialects, actions) = (dialects::all()?, dialects::actions()?);
        Ok(Self { service, entropy, settings, dialects, actions, tls: None, bodies: Arc::default() })
    }

    /// The same, measuring what is served over TLS.
    #[must_use]
    pub fn with_tls(self, tls: Option<Tls>) -> Self {
        Self { tls, ..self }
    }

    /// The same, with room for so many bytes of bodies at once.
    #[must_use]
    pub fn with_body_memory(self, bytes: usize) -> Self {
        Self { bodies: Arc::new(body_memory::BodyMemory::of(bytes)), ..self }
    }

    /// Whether what the first start generated still lies in the data folder.
    #[must_use]
    pub fn bootstrap_file_present(&self) -> bool {
        self.settings.bootstrap_file.as_ref().is_some_and(|path| path.exists())
    }

    /// The dialects, for whoever wants to walk their operations.
    #[must_use]
    pub fn dialects(&self) -> &[Arc<dyn operation::Dialect>] {
        &self.dialects
    }

    /// The authorization tables, each with the name of its dialect.
    #[must_use]
    pub fn actions(&self) -> &[(&'static str, actions::Actions)] {
        &self.actions
    }
}
