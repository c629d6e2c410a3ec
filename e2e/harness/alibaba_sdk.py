"""The second vendor's official SDKs, unmodified, pointed at our server."""

import urllib.parse

from alibabacloud_cs20151215.client import Client as ClustersClient
from alibabacloud_sts20150401.client import Client as StsClient
from alibabacloud_tea_openapi.models import Config


def _config(base, key, **options):
    key_id, secret = key
    return Config(
        access_key_id=key_id,
        access_key_secret=secret,
        endpoint=urllib.parse.urlsplit(base).netloc,
        protocol="HTTP",
        region_id="cn-hangzhou",
        **options,
    )


def sts_client(base, key, **options):
    """STS; `signature_algorithm="v2"` signs by the older scheme, `security_token` shows temporary credentials."""
    return StsClient(_config(base, key, **options))


def clusters_client(base, key, **options):
    """The clusters' service."""
    return ClustersClient(_config(base, key, **options))
