"""Signature version 4 of Amazon Web Services, for requests whose headers carry it.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote

from yarl import URL

from service.email_access import AwsCredentials

ALGORITHM = "AWS4-HMAC-SHA256"


def signed(
    credentials: AwsCredentials,
    *,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    service: str,
    at: datetime,
) -> dict[str, str]:
    """The headers that sign the request beside `headers`, all of which are signed, at the UTC instant `at`."""
    stamp = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"X-Amz-Date": stamp}
    if credentials.session:
        added["X-Amz-Security-Token"] = credentials.session
    host = url.host_port_subcomponent or ""
    fields = sorted((k.lower(), " ".join(v.split())) for k, v in {"Host": host, **headers, **added}.items())
    names = ";".join(name for name, _ in fields)
    # By the encoded names first: of `a=2` and `a-b=1` the former comes first, although `-` is less than `=`.
    pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in url.query.items())
    query = "&".join(f"{k}={v}" for k, v in pairs)
    # Every service but S3 wants the path encoded twice; yarl has encoded it once.
    path = quote(url.raw_path, safe="/-_.~")
    lines = [f"{name}:{value}\n" for name, value in fields]
    request = "\n".join([method, path, query, "".join(lines), names, hashlib.sha256(body).hexdigest()])
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(_key(credentials.secret, stamp[:8], region, service), text.encode(), hashlib.sha256)
    authorization = f"Credential={credentials.key_id}/{scope}, SignedHeaders={names}, Signature={signature.hexdigest()}"
    return {**added, "Authorization": f"{ALGORITHM} {authorization}"}


@lru_cache(maxsize=4)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
