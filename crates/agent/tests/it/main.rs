//! The agent of a node against a server that speaks the wire of ours, and does what a test wants.

mod double;
mod issuer;
mod node;
mod pods;
mod trouble;
