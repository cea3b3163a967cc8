"""Secret files are read again when they change, and an invalid file changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.environment import Secret, SecretFile, url
from service.node.secret_files import SecretFiles


class Client:
    """Records its new values."""

    def __init__(self) -> None:
        self.values: list[Secret] = []
        self.failure: Exception | None = None

    async def use(self, value: Secret) -> None:
        if self.failure is not None:
            raise self.failure
        self.values.append(value)


def files_of(path: Path, client: Client) -> SecretFiles:
    one = Secret("redis://one")
    return SecretFiles(
        [SecretFile("REDIS_URL", path, url("redis"), one), SecretFile("API_KEYS", path, Secret, one)],
        {"REDIS_URL": client.use},
    )


def changed(path: Path, failure: Exception) -> tuple[SecretFiles, Client]:
    """A file that has changed since the start, and a client that fails to take its value."""
    client = Client()
    path.write_text("redis://one")
    files = files_of(path, client)
    path.write_text("redis://other")
    client.failure = failure
    return files, client


async def test_a_changed_file_is_used_once(tmp_path: Path) -> None:
    """A check without a change does nothing."""
    path, client = tmp_path / "secret", Client()
    path.write_text("redis://one")
    files = files_of(path, client)
    await files.check()

    path.write_text("redis://other\n")
    await files.check()
    await files.check()

    assert client.values == ["redis://other"]


async def test_a_change_before_the_first_check_is_used(tmp_path: Path) -> None:
    """The client was made with the value of the settings, which were read before."""
    path, client = tmp_path / "secret", Client()
    path.write_text("redis://other")

    await files_of(path, client).check()

    assert client.values == ["redis://other"]


async def test_a_value_that_a_client_failed_to_take_is_tried_again(tmp_path: Path) -> None:
    """The file does not change once more, and the old password has ended."""
    files, client = changed(tmp_path / "secret", OSError("no descriptor is free"))

    with pytest.raises(OSError, match="no descriptor"):
        await files.check()
    client.failure = None
    await files.check()

    assert client.values == ["redis://other"]


async def test_a_value_that_a_client_cannot_use_is_refused_once(tmp_path: Path) -> None:
    """It contradicts other settings, and does so at every check."""
    files, _ = changed(tmp_path / "secret", ValueError("it contradicts other settings"))

    with capture_logs() as lines:
        await files.check()
        await files.check()

    assert [line["event"] for line in lines] == ["secret_refused"]


async def test_a_file_that_is_written_again_with_the_same_value_changes_nothing(tmp_path: Path) -> None:
    """Orchestrators write all files of a volume together."""
    path, client = tmp_path / "secret", Client()
    path.write_text("redis://one")
    files = files_of(path, client)

    path.unlink()
    path.write_text("redis://one\n")
    await files.check()

    assert client.values == []


async def test_a_file_that_is_missing_or_wrong_keeps_the_old_value(tmp_path: Path) -> None:
    """The error is logged once, without the value, and the next valid value is used."""
    path, client = tmp_path / "secret", Client()
    path.write_text("redis://one")
    files = files_of(path, client)

    with capture_logs() as lines:
        for text in ("http://sesame", None, "\ufffe"):
            path.unlink(missing_ok=True)
            if text is not None:
                path.write_bytes(text.encode("utf-16"))
            await files.check()
            await files.check()
    path.write_text("redis://other")
    await files.check()

    assert [line["event"] for line in lines] == ["secret_refused"] * 3
    assert "sesame" not in str(lines)
    assert client.values == ["redis://other"]


async def test_an_empty_file_keeps_the_old_value(tmp_path: Path) -> None:
    """Also of a secret whose parser takes an empty text: a volume that was not filled removes nothing."""
    path, client = tmp_path / "secret", Client()
    path.write_text("one")
    files = SecretFiles(
        [SecretFile("EMAIL_EVENTS_SECRETS", path, Secret, Secret("one"))], {"EMAIL_EVENTS_SECRETS": client.use}
    )

    with capture_logs() as lines:
        path.write_text("\n")
        await files.check()

    assert [line["event"] for line in lines] == ["secret_refused"]
    assert client.values == []
