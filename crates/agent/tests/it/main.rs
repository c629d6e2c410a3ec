//! The agent of a node against a server that speaks the wire of ours, and does what a test wants.

#[cfg(test)]
mod double;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod node;
#[cfg(test)]
mod pods;
#[cfg(test)]
mod trouble;
mod untold;
