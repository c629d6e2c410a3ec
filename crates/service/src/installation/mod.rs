//! The installation itself: how it begins, what seals its secrets, whether its database is the one that counts.

pub mod bootstrap;
pub(crate) mod gate;
pub mod key_ring;
pub mod key_rotation;
pub mod lineage;
pub mod recovery;
pub mod seal;
