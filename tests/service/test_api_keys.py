"""Tests the form of API keys in settings."""

from __future__ import annotations

import hashlib

import pytest

from service.api_keys import parse_api_keys
from service.domain.roles import Role
from service.settings import MIN_API_KEY_LENGTH, BadConfiguration, read

REQUIRED = {
    "HEYDAY_DATABASE_URL": "postgresql://localhost/heyday",
    "HEYDAY_REDIS_URL": "redis://localhost",
    "HEYDAY_EMAIL_URL": "http://localhost",
}
SECRET = "a-secret-of-more-than-16"
DIGEST = hashlib.sha256(SECRET.encode()).hexdigest()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (SECRET, [("key-1", Role.ADMIN)]),
        (f"other,{SECRET}", [("key-1", Role.ADMIN), ("key-2", Role.ADMIN)]),
        (f"crm:write:{SECRET}", [("crm", Role.WRITE)]),
        (f"crm:read:a:b:c\n{SECRET}", [("crm", Role.READ), ("key-2", Role.ADMIN)]),
        (f"crm:write:sha256:{DIGEST}", [("crm", Role.WRITE)]),
        (f"sha256:{DIGEST.upper()}", [("key-1", Role.ADMIN)]),
        (f"crm:write:{SECRET},crm:write:its-next-secret", [("crm", Role.WRITE), ("crm", Role.WRITE)]),
    ],
)
def test_a_key_has_a_name_and_a_role(text: str, named: list[tuple[str, Role]]) -> None:
    """A secret alone, as in older settings, has all rights."""
    keys = parse_api_keys(text)

    assert [(key.name, key.role) for key in keys] == named
    assert keys[-1].digest == DIGEST or keys[0].digest == DIGEST


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ops:swordfish", "expected keys as name:role:secret, or as a secret without a colon (see key 1)"),
        ("good,ops:admin:", "expected keys as name:role:secret, or as a secret without a colon (see key 2)"),
        (":admin:swordfish", "expected keys as name:role:secret, or as a secret without a colon (see key 1)"),
        ("a name:admin:swordfish", "expected keys as name:role:secret, or as a secret without a colon (see key 1)"),
        ("ops:swordfish:swordfish", "expected one of the roles read, write, operate, admin (see key 1)"),
        ("ops:Admin:swordfish", "expected one of the roles read, write, operate, admin (see key 1)"),
        ("ops:admin:sha256:swordfish", "expected 64 hexadecimal digits after sha256: (see key 1)"),
        ("sha256:", "expected 64 hexadecimal digits after sha256: (see key 1)"),
        (f"crm:write:{SECRET}\n# swordfish of the desk team", "expected keys without comments (see key 2)"),
        ("#swordfish", "expected keys without comments (see key 1)"),
        ("swordfish of the desk team", "expected secrets without white space and invisible characters (see key 1)"),
        ("swordfish\u200b", "expected secrets without white space and invisible characters (see key 1)"),
        (
            f"{SECRET},ops:admin:the swordfish",
            "expected secrets without white space and invisible characters (see key 2)",
        ),
        ("ops:read:swordfish,ops:admin:shark-fin", "expected one role for all keys of the name ops"),
        ("ops:read:swordfish,other:admin:swordfish", "expected each secret once"),
        (f"ops:read:{SECRET},ops:read:sha256:{DIGEST}", "expected each secret once"),
    ],
)
def test_a_wrong_key_is_one_sentence_without_its_secret(text: str, sentence: str) -> None:
    """The error names the position of the key, because its whole text may be secret."""
    with pytest.raises(BadConfiguration) as refused:
        read(REQUIRED | {"HEYDAY_API_KEYS": text})

    assert refused.value.errors == [f"HEYDAY_API_KEYS='***': {sentence}"]
    assert "swordfish" not in str(refused.value)


@pytest.mark.parametrize("text", ["crm:write:short", f"crm:write:{SECRET},desk:read:short"])
def test_the_length_is_that_of_the_secret_without_its_name(text: str) -> None:
    """`crm:write:short` has 15 characters, but an attacker has to guess only `short`."""
    with pytest.raises(BadConfiguration, match=f"secrets of {MIN_API_KEY_LENGTH} characters or more"):
        read(REQUIRED | {"HEYDAY_API_KEYS": text, "HEYDAY_BIND": "0.0.0.0:8080"})
    assert read(REQUIRED | {"HEYDAY_API_KEYS": text}).api_keys


def test_a_digest_is_accepted_beyond_this_machine() -> None:
    """The length of its secret is not known."""
    settings = read(REQUIRED | {"HEYDAY_API_KEYS": f"crm:write:sha256:{DIGEST}", "HEYDAY_BIND": "0.0.0.0:8080"})

    assert settings.api_keys == parse_api_keys(f"crm:write:sha256:{DIGEST}")
    assert SECRET not in repr(settings)
    assert DIGEST not in repr(settings)


@pytest.mark.parametrize("role", Role)
def test_a_role_may_do_what_lower_ones_may(role: Role) -> None:
    """`read < write < operate < admin`."""
    order = ["read", "write", "operate", "admin"]

    assert [least for least in Role if role.may(least)] == order[: order.index(role) + 1]
