"""Bundles are readable text, and nothing else is decoded as one."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.bundles import MOST_IDS, Malformed, decode, encode

ONE = UUID("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d")
TWO = UUID("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")


def test_a_bundle_is_ids_separated_by_commas() -> None:
    """Operators read them with `rabbitmqadmin get` and `XRANGE`."""
    assert encode([ONE, TWO]) == b"9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d,1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


@given(st.lists(st.uuids(), min_size=1, max_size=60))
def test_what_was_encoded_is_decoded_in_order(ids: list[UUID]) -> None:
    """AMQP has bytes, and streams have text."""
    assert decode(encode(ids)) == tuple(ids)
    assert decode(encode(ids).decode()) == tuple(ids)


def test_the_largest_bundle_is_decoded() -> None:
    """The limit itself is allowed."""
    ids = [uuid4() for _ in range(MOST_IDS)]

    assert decode(encode(ids)) == tuple(ids)


@pytest.mark.parametrize("count", [0, MOST_IDS + 1])
def test_an_empty_or_oversized_bundle_is_not_made(count: int) -> None:
    """A node that received it would refuse it."""
    with pytest.raises(ValueError, match="1 to 1000 ids"):
        encode([ONE] * count)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b",",
        b"null",
        b"\xff\xfe",
        b" " + encode([ONE]),
        encode([ONE]) + b"\n",
        encode([ONE]) + b",",
        encode([ONE])[:-1],
        encode([ONE]).upper(),
        encode([ONE]).replace(b"-", b""),
        encode([ONE]) + b";" + encode([TWO]),
        b",".join([encode([ONE])] * (MOST_IDS + 1)),
        "٣" * 36,
    ],
)
def test_anything_else_is_malformed(body: bytes | str) -> None:
    """There is one spelling only, so anything else was not written by heyday."""
    with pytest.raises(Malformed):
        decode(body)


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_no_input_breaks_the_decoder(body: bytes | str) -> None:
    """Any other exception would crash the consumer again and again on the same message."""
    try:
        ids = decode(body)
    except Malformed:
        return
    assert encode(ids) in (body, body.encode() if isinstance(body, str) else body)
