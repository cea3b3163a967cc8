"""Exit codes of every command."""

from __future__ import annotations

OK = 0
"""Done."""
FAILED = 1
"""Something is not well: a server is away, a check failed, a database is refused, or a user does not exist."""
WRONG_USAGE = 2
"""The arguments or the configuration have mistakes. Nothing was done."""
