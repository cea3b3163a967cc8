"""What `heyday doctor --adopt` says and does, in this order: what it found, what would be sent, what it did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import urlsplit

from actors.doctor.adoption import Adoption, Situation
from service.domain.cluster import REASONS
from service.settings import Settings

Say = Callable[[str], None]


async def adopt(adoption: Adoption, settings: Settings, *, resend: bool, dry_run: bool, say: Say) -> bool:
    """Adopt the database. False when it must not be: nodes are at work on another one. Raises Unavailable."""
    situation = await adoption.look()
    if not situation.finding.refused:
        say("There is nothing to adopt: nodes work with this database as it is.")
        return True
    say(f"Nodes refuse this database: {REASONS[situation.finding]}.")
    if situation.used_elsewhere:
        say(
            f"Nodes are at work on another database ({situation.recalled.in_use}) with this Redis. Drain them, wait "
            "half a minute, and try again; or give this cluster a Redis of its own."
        )
        return False
    _show(situation, await adoption.known_as_accepted(situation.now), settings, say)
    if dry_run:
        say("Nothing was changed: this was a dry run.")
        return True
    settled, held = await adoption.settle(situation.now, hold=not resend)
    if settled:
        say(f"Recorded as sent: {settled} messages, which Redis remembers as accepted.")
    if not resend:
        say(
            f"Held: {held} messages are unknown now. `heyday doctor --ledger FILE --mend` records those that the email "
            "service has accepted, `heyday redrive --status unknown` sends the rest."
        )
    cluster = await adoption.adopt(situation)
    say(f"Adopted: this is the database of cluster {cluster} from now on. Nodes that wait go on within seconds.")
    return True


def _show(situation: Situation, accepted: int, settings: Settings, say: Say) -> None:
    if (known_at := situation.seen.known_at) is not None:
        say(f"It knows what was sent up to {_at(known_at)}. It is {_at(situation.now)} now.")
    say(f"Due now, and unsent as far as it knows: {sum(one.count for one in situation.due)} messages.")
    for one in situation.due:
        say(f"  {one.count} {one.status}, of {_at(one.oldest)} to {_at(one.newest)}")
    if accepted:
        say(f"  {accepted} of them Redis remembers as accepted: they are recorded as sent, however late it is by now.")
    if situation.planned_up_to < situation.now:
        say(
            f"What was due from {_at(situation.planned_up_to)} until now is not planned in it yet. It is, next; such "
            "messages get new ids, so no email service recognises what it has accepted of them."
        )
    say(f"Whatever is sent goes to the email service at {urlsplit(settings.email_url).hostname}.")


def _at(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
