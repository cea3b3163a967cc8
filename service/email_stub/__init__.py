"""The fake email service: it accepts, fails, hangs and cuts connections as told, and counts what it accepted.

Unlike a real service it does not suppress duplicates by Idempotency-Key: it is there to reveal them.
"""

from service.email_stub.command import add_arguments, run
from service.email_stub.ledger import Acceptance, Ledger
from service.email_stub.options import StubOptions
from service.email_stub.server import EmailStub, serve

__all__ = ["Acceptance", "EmailStub", "Ledger", "StubOptions", "add_arguments", "run", "serve"]
