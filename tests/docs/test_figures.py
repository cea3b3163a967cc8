"""Numbers that documents repeat are equal to those of the code."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from actors.dispatcher import IDS_PER_BUNDLE
from actors.recovery import ENTRY_IDLE_FOR, QUEUED_FOR
from actors.runtime import Intensity
from actors.ticker import IDS_PER_ENTRY
from actors.tzdata_updater import LARGEST_ZONE_SHIFT
from service.domain.planning import HORIZON
from service.node.lease import DEATH_TIMEOUT, HEARTBEAT_INTERVAL, SAFETY_MARGIN
from service.settings import read
from tests.docs.test_documents import DOCUMENTS, NEEDED, name_of, text_of

ARCHITECTURE = "docs/explanation/architecture.md"
GLOSSARY = "docs/reference/glossary.md"
RUNBOOK = "docs/OPERATIONAL_RUNBOOK.md"
GUARANTEES = "docs/explanation/guarantees.md"
HEARTBEAT = "docs/decisions/0002-a-counter-for-a-heartbeat.md"


@pytest.mark.parametrize(
    ("document", "sentence", "value"),
    [
        (GLOSSARY, r"increases every ([\d.]+) s", HEARTBEAT_INTERVAL),
        (GLOSSARY, r"ends (\d+) s after the last heartbeat", DEATH_TIMEOUT - SAFETY_MARGIN),
        (GLOSSARY, r"holds up to (\d+) message ids", IDS_PER_ENTRY),
        (GLOSSARY, r"Up to about (\d+) message ids", IDS_PER_BUNDLE),
        (ARCHITECTURE, r"counter every ([\d.]+) s", HEARTBEAT_INTERVAL),
        (ARCHITECTURE, r"has not changed for (\d+) s", DEATH_TIMEOUT),
        (ARCHITECTURE, r"stops claiming and sending (\d+) s earlier", SAFETY_MARGIN),
        (ARCHITECTURE, r"bundles of up to (\d+) ids", IDS_PER_BUNDLE),
        (HEARTBEAT, r"After (\d+) s of uninterrupted watching", DEATH_TIMEOUT),
        (HEARTBEAT, r"stops acting (\d+) s after", DEATH_TIMEOUT - SAFETY_MARGIN),
        (GUARANTEES, r"may act for (\d+) s after a heartbeat", DEATH_TIMEOUT - SAFETY_MARGIN),
        (GUARANTEES, r"take over after (\d+) s without one", DEATH_TIMEOUT),
        (RUNBOOK, r"has been `queued` for (\d+) s", QUEUED_FOR.total_seconds()),
        (RUNBOOK, r"a living node after (\d+) minutes", ENTRY_IDLE_FOR / 60),
        (RUNBOOK, r"stood still for (\d+) s", DEATH_TIMEOUT),
        (RUNBOOK, r"More than (\d+) crashes in a minute", Intensity().restarts),
        (
            "docs/explanation/calendar.md",
            r"the last (\d+) hours of the planned time",
            LARGEST_ZONE_SHIFT / timedelta(hours=1),
        ),
    ],
)
def test_a_number_in_a_document_is_that_of_the_code(document: str, sentence: str, value: float) -> None:
    """Operators rely on the waits that a page gives."""
    found = re.search(sentence.replace(" ", r"\s+"), text_of(document))

    assert found is not None, sentence
    assert float(found[1]) == value


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_default_in_a_sentence_is_that_of_the_setting(document: Path) -> None:
    """Another test compares the page of settings with the code. This one covers sentences elsewhere."""
    defaults = read(NEEDED)
    for name, number, unit in re.findall(r"`HEYDAY_([A-Z_]+)` \((\d+) (s|h)\)", text_of(document)):
        value = getattr(defaults, name.lower())
        seconds = value if isinstance(value, (int, float)) else value.total_seconds()
        assert seconds == int(number) * {"s": 1, "h": 3600}[unit], name


def test_planning_reaches_as_far_as_the_documents_say() -> None:
    """The documents say two days."""
    assert HORIZON.days == 2
    assert "two days ahead" in text_of(ARCHITECTURE)
