#!/usr/bin/env python3
"""An access policy from its creation to its end, by the vendor's official SDK pointed at Bailiwick.

Usage: access_policy.py [USER_ID [CLUSTER_ID]]    (defaults: the demo's `demo-ada` and `demo-production`)
"""

import os
import sys

import huaweicloudsdkcce.v3 as cce
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig


def connect():
    """The SDK's client. Without a project id the SDK sends no project; the account is that of the key."""
    config = HttpConfig.get_default_config()
    config.timeout = (3, 30)
    credentials = BasicCredentials(os.environ["BAILIWICK_ACCESS_KEY_ID"], os.environ["BAILIWICK_SECRET_ACCESS_KEY"])
    builder = cce.CceClient.new_builder().with_http_config(config).with_credentials(credentials)
    return builder.with_endpoint(os.environ.get("BAILIWICK_SERVER", "http://127.0.0.1:8470")).build()


def policy(user, cluster, policy_type):
    return cce.AccessPolicy(
        name="example",
        clusters=[cluster],
        access_scope=cce.AccessScope(namespaces=["shop"]),
        policy_type=policy_type,
        principal=cce.Principal(type="user", ids=[user]),
    )


def main(user="demo-ada", cluster="demo-production"):
    client = connect()

    made = client.create_access_policy(
        cce.CreateAccessPolicyRequest(body=policy(user, cluster, "CCEViewPolicy"))
    )
    print(f"created  {made.policy_id}: {user} is {made.policy_type} in {cluster}")

    changed = client.update_access_policy(
        cce.UpdateAccessPolicyRequest(policy_id=made.policy_id, body=policy(user, cluster, "CCEEditPolicy"))
    )
    print(f"updated  {changed.policy_id}: {user} is {changed.policy_type} in {cluster}")

    listed = client.list_access_policy(cce.ListAccessPolicyRequest(cluster_id=cluster)).access_policy_list
    assert made.policy_id in [found.policy_id for found in listed], "the list holds the policy"
    print(f"listed   {len(listed)} policies that concern {cluster}")

    client.delete_access_policy(cce.DeleteAccessPolicyRequest(policy_id=made.policy_id))
    try:
        client.get_access_policy(cce.GetAccessPolicyRequest(policy_id=made.policy_id))
        sys.exit("the policy is still there")
    except ClientRequestException as error:
        assert error.status_code == 404, error
        print(f"deleted  {made.policy_id}: {error.status_code} {error.error_code}, {error.error_msg}")


if __name__ == "__main__":
    main(*sys.argv[1:])
