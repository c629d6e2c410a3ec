"""The vendor's official SDK, unmodified, pointed at our server."""

import secrets
import warnings

import huaweicloudsdkcce.v3 as cce
import huaweicloudsdkhss.v5 as hss
import huaweicloudsdkiam.v3 as iam
import huaweicloudsdksts.v1 as sts
import huaweicloudsdkiam.v5 as iam_v5
from huaweicloudsdkcore.auth.credentials import BasicCredentials, GlobalCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkiam.v3.iam_credentials import IamCredentials

warnings.filterwarnings("ignore", category=ImportWarning)


def _config():
    config = HttpConfig.get_default_config()
    config.ignore_ssl_verification = True
    config.timeout = (3, 30)
    config.proxy_host = None
    return config


def _build(client, credentials, base):
    builder = client.new_builder().with_http_config(_config()).with_credentials(credentials)
    return builder.with_endpoint(base).build()


def cce_client(base, key_id, secret, project=None):
    """The cluster service's client; without a project it sends no project header."""
    return _build(cce.CceClient, BasicCredentials(key_id, secret, project), base)


def hss_client(base, key_id, secret, project):
    """The client of the service for clusters that the vendor does not run; its paths name the project."""
    return _build(hss.HssClient, BasicCredentials(key_id, secret, project), base)


def temporary(key):
    """A temporary key, as STS and IAM answer it, as credentials of the SDK."""
    names = ("access_key_id", "secret_access_key", "security_token")
    if not hasattr(key, names[0]):
        names = ("access", "secret", "securitytoken")
    key_id, secret, token = (getattr(key, name) for name in names)
    return BasicCredentials(key_id, secret).with_security_token(token)


def cce_client_with(base, credentials):
    """The cluster service's client with credentials of whatever kind."""
    return _build(cce.CceClient, credentials, base)


def sts_client(base, credentials):
    """The client of the service that issues temporary keys."""
    return _build(sts.StsClient, credentials, base)


def cce_client_by_region(base, key_id, secret, region):
    """The same, but the SDK finds the project out by itself: it asks `GET /v3/projects?name=<region>`."""
    credentials = BasicCredentials(key_id, secret).with_iam_endpoint(base)
    builder = cce.CceClient.new_builder().with_http_config(_config()).with_credentials(credentials)
    return builder.with_region(Region(region, base)).build()


def iam_client(base, key_id, secret, account):
    """The identity service's client, signing with an access key."""
    return _build(iam.IamClient, GlobalCredentials(key_id, secret, account), base)


def iam_v5_client(base, key_id, secret, account):
    """The identity service's client of the newer version, signing with an access key."""
    return _build(iam_v5.IamClient, GlobalCredentials(key_id, secret, account), base)


def iam_client_by_region(base, key_id, secret, region):
    """The same, but the SDK finds the account out by itself: it asks `GET /v3/auth/domains`."""
    credentials = GlobalCredentials(key_id, secret).with_iam_endpoint(base)
    builder = iam.IamClient.new_builder().with_http_config(_config()).with_credentials(credentials)
    return builder.with_region(Region(region, base)).build()


def iam_client_with_token(base, token=None):
    """The identity service's client that sends a token, or nothing (to ask for one)."""
    return _build(iam.IamClient, IamCredentials(token), base)


def policy(
    name="p",
    clusters=("*",),
    namespaces=("*",),
    policy_type="CCEViewPolicy",
    kind="user",
    ids=(),
    object_kind=None,
    api_version=None,
):
    """A request body in the SDK's own classes."""
    return cce.AccessPolicy(
        kind=object_kind,
        api_version=api_version,
        name=name,
        clusters=list(clusters),
        access_scope=cce.AccessScope(namespaces=list(namespaces)),
        policy_type=policy_type,
        principal=cce.Principal(type=kind, ids=list(ids)),
    )


def unlike_any_other(invoker):
    """Sends what the SDK prepared, with a header of our own, which it signs."""
    return invoker.add_header("X-Nonce", secrets.token_hex(8)).invoke()


class Unique:
    """A client of the SDK whose calls each carry such a header: the same call may be made twice within a second."""

    def __init__(self, client):
        self.client = client

    def __getattr__(self, operation):
        return lambda request: unlike_any_other(getattr(self.client, f"{operation}_invoker")(request))


class AccessPolicies:
    """The five operations, each one SDK call. Changes carry a header that makes their signatures unique: the SDK's dates are
    of whole seconds, and two equal changes within one are one to the server."""

    def __init__(self, client):
        self.client = client

    def create(self, **fields):
        request = cce.CreateAccessPolicyRequest(body=policy(**fields))
        return unlike_any_other(self.client.create_access_policy_invoker(request))

    def list(self, cluster_id=None):
        return self.client.list_access_policy(cce.ListAccessPolicyRequest(cluster_id=cluster_id))

    def get(self, policy_id):
        return self.client.get_access_policy(cce.GetAccessPolicyRequest(policy_id=policy_id))

    def update(self, policy_id, **fields):
        request = cce.UpdateAccessPolicyRequest(policy_id=policy_id, body=policy(**fields))
        return unlike_any_other(self.client.update_access_policy_invoker(request))

    def delete(self, policy_id):
        request = cce.DeleteAccessPolicyRequest(policy_id=policy_id)
        return unlike_any_other(self.client.delete_access_policy_invoker(request))

    def ids(self, cluster_id=None):
        return [found.policy_id for found in self.list(cluster_id).access_policy_list]
