#!/usr/bin/env bash
# An access policy from its creation to its end, by the command line: first in the vendor's words, then in our own.
#
# Usage: access_policy.sh [USER_ID [CLUSTER_ID]]    (defaults: the demo's `demo-ada` and `demo-production`)
set -euo pipefail

user="${1:-demo-ada}"
cluster="${2:-demo-production}"

policy() {
  printf '{"name": "example", "clusters": ["%s"], "accessScope": {"namespaces": ["shop"]},
    "policyType": "%s", "principal": {"type": "user", "ids": ["%s"]}}' "$cluster" "$1" "$user"
}

# The id is made by the server; everything else of the answer is what was asked for.
created="$(policy CCEViewPolicy | bailiwick call POST /api/v3/access-policies --data -)"
[[ "$created" =~ \"policyId\":\"([^\"]+)\" ]]
id="${BASH_REMATCH[1]}"
echo "created  $id"

policy CCEEditPolicy | bailiwick call PUT "/api/v3/access-policies/$id" --data - >/dev/null
echo "updated  $id"

# What was written in one dialect is there in the other.
bailiwick grant show "$id"

bailiwick grant delete "$id"
if bailiwick call GET "/api/v3/access-policies/$id" >/dev/null 2>&1; then
  echo "the policy is still there" >&2
  exit 1
fi

# The same in our own words, in one command.
id="$(bailiwick grant create --user "$user" --role viewer --cluster "$cluster" -n shop --quiet)"
bailiwick grant delete "$id"
echo "done"
