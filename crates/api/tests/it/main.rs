//! The server over real sockets and a real database, spoken to in raw bytes: what a client library would tidy up is
//! exactly what is tested.

mod access_policies;
mod credentials;
mod one_reading;
mod operations;
mod server;
