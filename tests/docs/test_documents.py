"""Checks the documents: links exist, tables are complete, examples print what the page shows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from prometheus_client.metrics import MetricWrapperBase

from loadtest.hot_queries import HOT
from service.domain.messages import Status
from service.settings import read
from service.telemetry.metrics import Metrics

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    ROOT / ".github/PULL_REQUEST_TEMPLATE.md",
    *sorted(page for folder in ("docs", "deploy", "loadtest", "grafana") for page in (ROOT / folder).rglob("*.md")),
]

CONTRACT = [
    "queue_depth_total",
    "queue_messages_enqueued_total",
    "queue_messages_processed_total",
    "queue_messages_failed_total",
    "messages_sent_total",
    "messages_failed_total",
    "message_delivery_duration_seconds",
    "circuit_breaker_state",
    "circuit_breaker_failures_total",
    "circuit_breaker_successes_total",
    "db_connections_active",
    "db_connections_idle",
    "db_connections_max",
    "db_query_duration_seconds",
    "http_request_duration_seconds",
    "http_requests_total",
    "message_lateness_seconds",
    "messages_by_status",
    "oldest_due_message_age_seconds",
    "messages_outcome_unknown_total",
    "duplicates_suppressed_total",
    "stream_pending",
    "stream_reclaimed_total",
    "actor_restarts_total",
    "actor_mailbox_depth",
    "clock_skew_seconds",
    "job_runs_total",
    "job_duration_seconds",
]
"""Metrics that dashboards and alerts of others use; none may be renamed."""

LABELS = {
    "circuit_breaker_state": {"service"},
    "http_request_duration_seconds": {"method", "route", "status_code"},
    "http_requests_total": {"method", "route", "status_code"},
    "message_lateness_seconds": {"occasion"},
    "messages_by_status": {"status"},
    "duplicates_suppressed_total": {"by"},
    "stream_pending": {"stream"},
    "stream_reclaimed_total": {"stream"},
    "actor_restarts_total": {"actor"},
    "actor_mailbox_depth": {"actor"},
    "job_runs_total": {"job", "outcome"},
    "job_duration_seconds": {"job"},
}
"""The promised labels of these metrics."""

NEEDED = {
    "HEYDAY_DATABASE_URL": "postgresql://h/d",
    "HEYDAY_REDIS_URL": "redis://h",
    "HEYDAY_EMAIL_URL": "http://h",
    "HEYDAY_NODE_ID": "node-1",
}


def name_of(document: Path) -> str:
    return document.relative_to(ROOT).as_posix()


def text_of(document: str | Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def prose_of(document: Path) -> str:
    """Return the text of a document without code blocks."""
    return re.sub(r"^```.*?^```", "", text_of(document), flags=re.DOTALL | re.MULTILINE)


def rows_of(document: str) -> Iterator[list[str]]:
    """Yield the cells of each table row of a document."""
    for line in text_of(document).splitlines():
        if line.startswith("| ") and not line.startswith("| ---"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def rows_under(document: str, heading: str) -> Iterator[list[str]]:
    """Yield the rows of tables with that first heading and the last heading `shown by`."""
    wanted = False
    for row in rows_of(document):
        if row[-1] == "shown by":
            wanted = row[0] == heading
        elif wanted and len(row) == 3:
            yield row
        else:
            wanted = False


def anchors_of(document: Path) -> set[str]:
    """Return the anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", prose_of(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(document: Path) -> None:
    """A broken link sends the reader nowhere."""
    links = re.findall(r"\]\(([^)\s]+)\)", prose_of(document))

    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_every_path_that_is_named_exists(document: Path) -> None:
    """Readers open the paths that a text names."""
    named = re.findall(r"`((?:actors|service|schema|tests|docs|deploy|loadtest|grafana)/[\w./@-]*)`", text_of(document))

    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_no_document_names_a_path_of_the_machine_it_was_written_on(document: Path) -> None:
    """No reader has such a path. The installation path of the systemd units is allowed."""
    found = re.findall(r"(?<![\w.}/])/(?:work|tmp|home|root|Users|mnt|opt(?!/heyday\b))\b[\w./-]*", text_of(document))

    assert found == []


@pytest.mark.parametrize(
    ("document", "heading"),
    [("docs/explanation/guarantees.md", "promise"), ("docs/SECURITY_AUDIT_REPORT.md", "what")],
)
def test_every_test_that_a_promise_rests_on_exists(document: str, heading: str) -> None:
    """A claim whose test was renamed or deleted is not checked."""
    missing, named = [], []
    for row in rows_of(document):
        for file, tests in re.findall(r"`(tests/[\w/]+\.py)`: ((?:`test_\w+`(?:, )?)+)", row[-1]):
            for test in re.findall(r"test_\w+", tests):
                named.append(test)
                if not re.search(rf"^(?:async )?def {test}\(", text_of(file), re.MULTILINE):
                    missing.append((file, test))

    assert missing == []
    assert len(named) == text_of(document).count("`test_") > 20
    promises = [row for row in rows_under(document, heading) if row[0] != heading]
    assert [row[0] for row in promises if "`test_" not in row[-1]] == []


class Setting(NamedTuple):
    """A row of the table of settings; `default` and `example` are None if the cell is not code."""

    name: str
    default: str | None
    example: str | None
    secret: bool


def settings_listed() -> list[Setting]:
    def code(cell: str) -> str | None:
        return cell[1:-1] if re.fullmatch(r"`[^`]*`", cell) else None

    return [
        Setting(row[0].split("`")[1], code(row[1]), code(row[3]), "†" in row[0])
        for row in rows_of("docs/reference/settings.md")
        if row[0].startswith("`HEYDAY_")
    ]


class Watched(dict[str, str]):
    """An environment that records which variables were read."""

    asked: set[str]

    def get(self, key: str, default: str = "") -> str:  # type: ignore[override]  # all that the reader needs
        self.asked = {*getattr(self, "asked", set()), key}
        return super().get(key, default)


def test_the_page_of_settings_lists_every_variable_that_is_read_and_no_other() -> None:
    """A setting that is not listed is not used, and a listed one that is not read has no effect."""
    environment = Watched(NEEDED)
    read(environment)

    listed = settings_listed()

    names = {setting.name for setting in listed}
    files = {f"{setting.name}_FILE" for setting in listed if setting.secret}
    assert len(names) == len(listed)
    assert names | files == environment.asked


@pytest.mark.parametrize("setting", [one for one in settings_listed() if one.default], ids=lambda one: one.name)
def test_the_default_that_the_page_gives_changes_nothing(setting: Setting) -> None:
    """Setting a variable to its printed default must not change the settings."""
    assert read(NEEDED | {setting.name: str(setting.default)}) == read(NEEDED)


def test_every_setting_has_a_default_or_says_why_it_has_none() -> None:
    """The only exceptions are: required, not set, or made by the node."""
    without = {row[1] for row in rows_of("docs/reference/settings.md") if row[0].startswith("`H") and "`" not in row[1]}

    required = {one.name for one in settings_listed()} & (NEEDED.keys() - {"HEYDAY_NODE_ID"})
    stated = {row[0].split("`")[1] for row in rows_of("docs/reference/settings.md") if row[1] == "required"}
    assert without == {"required", "not set", "host name and a random part"}
    assert stated == required


@pytest.mark.parametrize("setting", settings_listed(), ids=lambda one: one.name)
def test_the_example_that_the_page_gives_is_taken_and_is_not_the_default(setting: Setting) -> None:
    """Readers copy examples, so they must be valid."""
    assert setting.example is not None
    if setting.example.startswith(f"{setting.name}_FILE="):
        return  # it has several lines, which a cell cannot show
    # An example of an address beyond loopback needs a key, and one of a provider needs a sender and a token.
    with_key = {"HEYDAY_API_KEYS": "a-key-of-16-chars"}
    if setting.name == "HEYDAY_EMAIL_FORMAT":
        with_key |= {"HEYDAY_EMAIL_FROM": "a@example.com", "HEYDAY_EMAIL_TOKEN": "token"}
    if setting.name in ("HEYDAY_EMAIL_UNSUBSCRIBE", "HEYDAY_EMAIL_HTML"):
        with_key |= {"HEYDAY_EMAIL_URL": "smtp://mail.example.com", "HEYDAY_EMAIL_FROM": "a@example.com"}
    if setting.name.startswith("HEYDAY_EMAIL_FALLBACK_"):
        with_key |= {"HEYDAY_EMAIL_FALLBACK_URL": "https://b.example", "HEYDAY_EMAIL_FROM": "a@example.com"}
    if setting.name == "HEYDAY_EMAIL_FALLBACK_FORMAT":
        with_key |= {"HEYDAY_EMAIL_FALLBACK_TOKEN": "token"}

    assert read(NEEDED | with_key | {setting.name: setting.example}) is not None
    assert setting.example != setting.default


def declared() -> list[MetricWrapperBase]:
    return [metric for metric in vars(Metrics()).values() if isinstance(metric, MetricWrapperBase)]


def scraped_name(metric: MetricWrapperBase) -> str:
    """Return the name as a scraper sees it; counters get a suffix."""
    return f"{metric._name}_total" if metric._type == "counter" else metric._name


def metrics_listed() -> list[list[str]]:
    return [row for row in rows_of("docs/reference/metrics.md") if row[0].startswith("`")]


def test_the_page_of_metrics_lists_what_is_declared() -> None:
    """Name, kind, labels and meaning, in the order of the declarations."""
    expected = [
        [
            f"`{scraped_name(metric)}`",
            metric._type,
            ", ".join(f"`{label}`" for label in metric._labelnames),
            metric._documentation,
        ]
        for metric in declared()
    ]

    assert [[*row[:3], row[4]] for row in metrics_listed()] == expected


def test_every_metric_has_a_unit_and_answers_a_question_of_its_own() -> None:
    """A number without a unit misleads, and a metric without a question is not needed."""
    rows = metrics_listed()

    units = {row[0].strip("`"): row[3] for row in rows}
    assert all(units.values())
    assert {name for name, unit in units.items() if unit.startswith("seconds")} == {
        name for name in units if name.endswith("_seconds")
    }
    questions = [row[5] for row in rows]
    assert [question for question in questions if not question.endswith("?")] == []
    assert len(set(questions)) == len(questions)


def test_the_page_of_metrics_names_every_label_and_every_value_known_beforehand() -> None:
    """The author of a query needs the values before they occur."""
    text = text_of("docs/reference/metrics.md").partition("## Labels")[2]

    labels = {label for metric in declared() for label in metric._labelnames} - {"version", "tzdata"}
    values = {
        value
        for metric in declared()
        if scraped_name(metric) not in ("heyday_info", "stream_reclaimed_total")
        for series in getattr(metric, "_metrics", {})
        for value in series
    }
    described = set(re.findall(r"`(\w+)`", text))
    assert labels - described == {"method", "status_code"}  # these need no description
    assert {value for value in values if f"**`{value}`**" not in text} == set()


def test_every_metric_that_is_promised_is_declared() -> None:
    """An alert on a name that does not exist never fires."""
    names = {scraped_name(metric): set(metric._labelnames) for metric in declared()}

    assert [name for name in CONTRACT if name not in names] == []
    assert {name: names[name] for name in LABELS} == LABELS


def test_the_example_of_the_readme_answers_what_it_prints() -> None:
    """Readers try it first."""
    found = re.search(r"^ *\$ echo '(.+)' \| heyday when\n +(\{.*\})$", text_of("README.md"), re.MULTILINE)
    assert found is not None
    question, printed = found.groups()

    answered = subprocess.run(
        [sys.executable, "-m", "actors.cli", "when"],
        input=question + "\n",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin"},
    )

    assert answered.stdout == printed + "\n"


def test_the_page_of_query_plans_has_every_hot_query() -> None:
    """A query that was renamed cannot be found in the code."""
    named = [row[0].strip("`") for row in rows_of("docs/explanation/query_plans.md") if row[0].startswith("`")]

    assert set(named) == {f"{file}.{name}" for file, name, _ in HOT}


def test_the_page_of_states_has_every_state() -> None:
    """A state that is missing, or extra, misleads the reader."""
    rows = [row[0].strip("`") for row in rows_of("docs/explanation/message_states.md") if row[0].startswith("`")]

    assert sorted(rows) == sorted(Status)
