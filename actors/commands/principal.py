"""The command line as it is named in the audit log."""

from __future__ import annotations

import os
import pwd

from service.domain.roles import Role
from service.ports import Principal

COMMAND_LINE = "command line"
"""The name in place of a key's. No key can have it."""


def command_line() -> Principal:
    """Return the author of a change: the command line, with the real user of this process. No variable changes it."""
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:  # containers run as users that have no name
        user = f"uid {uid}"
    return Principal(COMMAND_LINE, Role.ADMIN, os_user=user)
