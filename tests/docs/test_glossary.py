"""The terms of docs/reference/glossary.md are the names that the code uses."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

from service.domain.messages import Outcome, Status
from service.ports.email import CircuitState
from service.telemetry.metrics import Metrics
from tests.docs.test_architecture import picture
from tests.docs.test_documents import ROOT, rows_of, text_of

PAGE = "docs/reference/glossary.md"


def section(heading: str) -> str:
    return text_of(PAGE).partition(f"## {heading}\n")[2].partition("\n## ")[0]


def terms_of(heading: str) -> list[str]:
    """The terms in code of a section's tables, in order."""
    return re.findall(r"^\| `([^`]+)`[^|]*\|", section(heading), re.MULTILINE)


def test_the_glossary_has_every_message_state_and_no_other() -> None:
    """These are the values of the database, of JSON and of metrics."""
    assert sorted(terms_of("Message states")) == sorted(Status)


def test_the_glossary_has_every_outcome_of_an_attempt() -> None:
    """A query for a synonym finds nothing."""
    assert [term for term in terms_of("Attempts") if term != "Idempotency-Key"] == list(Outcome)


def test_the_glossary_names_every_state_of_the_circuit() -> None:
    """They are the values of `/health/detailed`."""
    (line,) = (row[1] for row in rows_of(PAGE) if row[0].startswith("circuit breaker"))

    assert set(re.findall(r"`(\w+)`", line)) == {state.name.lower() for state in CircuitState}


def test_the_glossary_has_every_actor_of_the_supervision_tree() -> None:
    """tests/docs/test_architecture.py compares the tree with a running node."""
    drawn = re.findall(r"^    \w+ --> (\w+)", picture("The supervision tree of a node"), re.MULTILINE)

    listed = section("Actors").partition("| actor | what it does |\n")[2]
    assert re.findall(r"^\| `(\w+)` \|", listed, re.MULTILINE) == drawn


def test_every_term_is_explained_once_in_full_sentences() -> None:
    """Two explanations of one word would give it two meanings."""
    rows = [row for row in rows_of(PAGE) if row[0] not in ("term", "state", "actor")]

    terms = [row[0] for row in rows if row[0] != "`unknown`"]  # a state of messages and an outcome of attempts
    assert len(terms) > 70
    assert sorted(terms) == sorted(set(terms))
    assert [row for row in rows if len(row) != 2 or not row[1].endswith((".", "below."))] == []


def test_every_name_in_a_store_or_metric_that_the_glossary_uses_exists() -> None:
    """Readers copy the names into a query."""
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("service", "actors", "schema")
        for suffix in ("*.py", "*.sql")
        for path in (ROOT / folder).rglob(suffix)
    )
    metrics = [metric._name for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]
    names = set(re.findall(r"`(heyday[:.][a-z]+|[a-z]+_[a-z_]+(?:\(\))?)`", text_of(PAGE)))

    assert {"heyday:due", "heyday.delivery", "send_at", "business_now()"} <= names
    assert [name for name in sorted(names) if name.removesuffix("()") not in source and name not in metrics] == []
