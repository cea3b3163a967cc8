"""A fake email service: it accepts, fails, hangs and cuts connections as configured, and records what it accepted.

It does not suppress duplicates by Idempotency-Key as a real service does, because its purpose is to show them.
"""

from actors.commands.sandbox.email_stub.command import add_arguments, run
from actors.commands.sandbox.email_stub.ledger import Acceptance, Ledger
from actors.commands.sandbox.email_stub.options import StubOptions
from actors.commands.sandbox.email_stub.server import EmailStub, serve

__all__ = ["Acceptance", "EmailStub", "Ledger", "StubOptions", "add_arguments", "run", "serve"]
