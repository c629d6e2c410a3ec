//! A thin, synchronous client of the server's native API: where the server is and who calls ([`profile`]), the
//! signature ([`signing`]), one exchange ([`http`]), and JSON with its errors in words ([`native`]).

pub mod http;
pub mod native;
pub mod path;
pub mod profile;
pub mod server;
pub mod trust;

pub use http::{Answer, Client, Request};
pub use profile::Settings;
pub use server::Server;
