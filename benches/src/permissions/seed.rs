//! A million grants that come to one row each, for the server's database and for the peer's table: the same ones.

use serde::{Deserialize, Serialize};

/// Grants, all of one account.
pub const GRANTS: usize = 1_000_000;
/// Clusters, none of which is connected.
pub const CLUSTERS: usize = 100;
/// Users who hold [`ROWS`] rows each.
pub const HEAVY: usize = 300;
/// What they hold, by grants to themselves and by those to their group.
pub const ROWS: usize = 500;
/// So many of these are the group's.
const OF_GROUP: usize = 10;
/// So many grants hold the others, each to themselves; the last one of them fewer.
const LIGHT_ROWS: usize = 40;
/// The group of who holds much.
pub const GROUP: &str = "bench-group";
/// A user who holds nothing.
pub const NOBODY: &str = "290000000000000000";
/// A user who administers every second cluster, and may see what others hold there.
pub const ADMINISTRATOR: &str = "290000000000000001";

/// One row of an answer, as both sides give it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// The cluster, or the cluster and a namespace.
    pub resource_id: String,
    /// Which of the two.
    pub resource_type: String,
    /// The role's name.
    pub role_name: String,
    /// Which role it is, or that it is one of the user's own.
    pub role_type: String,
    /// Whether it is the right of the cluster's owner.
    pub is_owner: i64,
    /// Whether its holder is a role.
    pub is_ram_role: i64,
}

/// One grant of one row.
pub struct Seeded {
    /// The grant's number, from 0.
    pub number: usize,
    /// Who holds it.
    pub holder: Holder,
    /// Which row of its holder it is, from 0.
    slot: usize,
}

/// Who is named by a grant.
pub enum Holder {
    /// The user with that number.
    User(usize),
    /// Who administers every second cluster.
    Administrator,
    /// The group of who holds much.
    Group,
}

impl Holder {
    /// Its id.
    pub fn id(&self) -> String {
        match self {
            Self::User(number) => user(*number),
            Self::Administrator => ADMINISTRATOR.to_owned(),
            Self::Group => GROUP.to_owned(),
        }
    }
}

/// The id of a user; the first [`HEAVY`] hold much.
pub fn user(number: usize) -> String {
    format!("2{number:017}")
}

/// The id of a cluster.
pub fn cluster(number: usize) -> String {
    format!("c{:032x}", (number as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
}

/// How many users there are who hold something.
pub fn users() -> usize {
    let light = GRANTS - HEAVY * (ROWS - OF_GROUP) - OF_GROUP - CLUSTERS / 2;
    HEAVY + light.div_ceil(LIGHT_ROWS)
}

/// All grants, by number.
pub fn grants() -> impl Iterator<Item = Seeded> {
    let own = ROWS - OF_GROUP;
    let group = (own..ROWS).map(|slot| (Holder::Group, slot));
    let heavy = (0..HEAVY).flat_map(move |user| (0..own).map(move |slot| (Holder::User(user), slot)));
    let light = (HEAVY..users())
        .flat_map(|user| (0..LIGHT_ROWS).map(move |n| (Holder::User(user), light_slot(user, n))));
    let administrator = (0..CLUSTERS).step_by(2).map(|slot| (Holder::Administrator, slot));
    let all = group.chain(administrator).chain(heavy).chain(light).take(GRANTS).enumerate();
    all.map(|(number, (holder, slot))| Seeded { number, holder, slot })
}

/// Different slots for each number of one user.
fn light_slot(user: usize, number: usize) -> usize {
    (user * 13 + number) % ROWS
}

/// What the first [`HEAVY`] users hold: all of it, and as much as [`ADMINISTRATOR`] sees of it.
pub fn rows_of_heavy() -> (Vec<Row>, Vec<Row>) {
    let rows = |every: usize| {
        let slots = (0..ROWS).filter(|slot| (slot % CLUSTERS).is_multiple_of(every));
        let mut rows: Vec<Row> =
            slots.map(|slot| Seeded { number: 0, holder: Holder::Group, slot }.row()).collect();
        rows.sort();
        rows
    };
    (rows(1), rows(2))
}

impl Seeded {
    /// Its id: scattered, as real ones are.
    pub fn id(&self) -> String {
        let scattered = (self.number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (high, low) = (scattered >> 32, scattered & 0xffff_ffff);
        format!("{high:08x}-0000-4000-8000-0000{low:08x}")
    }

    /// Its cluster.
    pub fn cluster(&self) -> String {
        cluster(self.slot % CLUSTERS)
    }

    /// Its namespace, if it is not for the whole cluster.
    pub fn namespace(&self) -> Option<String> {
        match self.slot / CLUSTERS {
            0 => None,
            number => Some(format!("team-{number}")),
        }
    }

    /// The role: in our words, in theirs, and its name.
    pub fn role(&self) -> (&'static str, &'static str, &'static str) {
        match (self.slot / CLUSTERS, self.slot % 7) {
            _ if matches!(self.holder, Holder::Administrator) => ("administrator", "admin", "admin"),
            (_, 0) => ("custom:pod-reader", "custom", "pod-reader"),
            (0, 1..=3) => ("administrator", "admin", "admin"),
            (0, _) => ("operator", "ops", "ops"),
            (_, 1..=3) => ("developer", "dev", "dev"),
            (_, _) => ("viewer", "restricted", "restricted"),
        }
    }

    /// What both sides say of it.
    pub fn row(&self) -> Row {
        let (_, role_type, role_name) = self.role();
        let (resource_id, resource_type) = match self.namespace() {
            None => (self.cluster(), "cluster"),
            Some(namespace) => (format!("{}/{namespace}", self.cluster()), "namespace"),
        };
        Row {
            resource_id,
            resource_type: resource_type.to_owned(),
            role_name: role_name.to_owned(),
            role_type: role_type.to_owned(),
            is_owner: 0,
            is_ram_role: 0,
        }
    }
}
