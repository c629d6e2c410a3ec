//! The directory: users, groups, agencies, their keys and passwords, and the projects they work in.

pub mod access_keys;
pub mod agencies;
pub mod groups;
pub(crate) mod key_use;
pub(crate) mod membership;
pub(crate) mod named;
pub(crate) mod names;
pub(crate) mod password;
pub(crate) mod passwords;
pub mod principals;
pub mod projects;
pub(crate) mod which;
