"""The secrets of webhooks that are valid now, read again when their file changes."""

from __future__ import annotations

from service.domain.email_formats import EmailFormat
from service.email_event_secrets import EmailEventSecret, parse_email_event_secrets
from service.environment import Secret
from service.node.secret_files import SecretFiles
from service.settings import Settings


class EmailEventSecrets:
    """Looks the keys of a format up. They belong to the node: an API that restarts goes on with the last keys.

    A file that cannot be read, or has an error, changes nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self._secrets: tuple[EmailEventSecret, ...] = settings.email_events_secrets
        self._files = SecretFiles(settings.secret_files, {"EMAIL_EVENTS_SECRETS": self._replace})

    async def keys(self, name: str) -> tuple[EmailFormat, list[bytes]] | None:
        """The format of this name and its keys; None if it has none."""
        await self._files.check()
        found = [secret for secret in self._secrets if secret.format == name]
        return (found[0].format, [secret.key for secret in found]) if found else None

    async def _replace(self, text: Secret) -> None:
        self._secrets = parse_email_event_secrets(text)
