"""Tests signature version 4 with the examples that Amazon publishes."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from yarl import URL

from service.adapters.email.formats.signature import signed
from service.email_access import AwsCredentials, aws_region

EXAMPLE = AwsCredentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


@pytest.mark.parametrize(
    ("method", "url", "headers", "service", "signature"),
    [
        # The example of the guide, and `get-vanilla` and `post-vanilla` of the test suite.
        (
            "GET",
            "https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08",
            FORM,
            "iam",
            "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
        (
            "GET",
            "https://example.amazonaws.com/",
            {},
            "service",
            "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
        ),
        (
            "POST",
            "https://example.amazonaws.com/",
            {},
            "service",
            "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
        ),
    ],
)
def test_the_published_examples_have_the_published_signatures(
    method: str, url: str, headers: dict[str, str], service: str, signature: str
) -> None:
    """With one wrong byte, every greeting is refused."""
    added = signed(
        EXAMPLE, method=method, url=URL(url), headers=headers, body=b"", region="us-east-1", service=service, at=AT
    )

    assert added["X-Amz-Date"] == "20150830T123600Z"
    assert added["Authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/")
    assert added["Authorization"].endswith(f"Signature={signature}")


UNRESERVED = "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

SUITE: dict[str, tuple[str, str, dict[str, str], bytes, str]] = {
    "get-vanilla-query-order-key-case": (
        *("GET", "?Param2=value2&Param1=value1", {}, b""),
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-vanilla-query-order-encoded": (
        *("GET", "?Param-3=Value3&Param=Value2&%E1%88%B4=Value1", {}, b""),
        "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ),
    "get-vanilla-query-unreserved": (
        *("GET", f"?{UNRESERVED}={UNRESERVED}", {}, b""),
        "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197",
    ),
    "get-vanilla-utf8-query": (
        *("GET", "?\u1234=bar", {}, b""),
        "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04",
    ),
    "get-header-value-trim": (
        *("GET", "", {"My-Header1": " value1", "My-Header2": ' "a   b   c"'}, b""),
        "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ),
    "post-header-key-sort": (
        *("POST", "", {"My-Header1": "value1"}, b""),
        "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c",
    ),
    "post-vanilla-query": (
        *("POST", "?Param1=value1", {}, b""),
        "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
    ),
    "post-x-www-form-urlencoded": (
        *("POST", "", {"Content-Type": "application/x-www-form-urlencoded"}, b"Param1=value1"),
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
}
"""Vectors of `aws-sig-v4-test-suite`: method, query, headers, body and signature."""


@pytest.mark.parametrize("name", SUITE)
def test_the_vectors_of_the_test_suite_have_their_signatures(name: str) -> None:
    """Queries in any order and script, headers with spaces, and a body, which all our calls have."""
    method, query, headers, body, signature = SUITE[name]
    added = signed(
        EXAMPLE,
        method=method,
        url=URL(f"https://example.amazonaws.com/{query}"),
        headers=headers,
        body=body,
        region="us-east-1",
        service="service",
        at=AT,
    )

    assert added["Authorization"].endswith(f"Signature={signature}")


def test_temporary_credentials_have_a_session() -> None:
    """The role of a container has only temporary credentials."""
    credentials = AwsCredentials.parse("AKID:sec/ret:tok:en")
    added = signed(
        credentials,
        method="POST",
        url=URL("https://h"),
        headers={},
        body=b"{}",
        region="eu-west-1",
        service="ses",
        at=AT,
    )

    assert added["X-Amz-Security-Token"] == "tok:en"
    assert "SignedHeaders=host;x-amz-date;x-amz-security-token," in added["Authorization"]
    for wrong in ("", "AKID", "AKID:", ":secret"):
        with pytest.raises(ValueError, match="access key"):
            AwsCredentials.parse(wrong)


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://email.eu-west-1.amazonaws.com", "eu-west-1"),
        ("https://email-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("https://vpce-0a.email.ap-southeast-2.vpce.amazonaws.com", "ap-southeast-2"),
        ("http://127.0.0.1:9?region=eu-central-1", "eu-central-1"),
    ],
)
def test_the_region_is_that_of_the_endpoint(url: str, region: str) -> None:
    """A signature for another region is refused."""
    assert aws_region(URL(url)) == region
    with pytest.raises(ValueError, match="region"):
        aws_region(URL("https://mail.example.com"))
