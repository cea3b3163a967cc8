"""Reads the runbook's sections and the alert rules."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RUNBOOK = ROOT / "docs" / "OPERATIONAL_RUNBOOK.md"
RULES = ROOT / "deploy" / "alerts" / "heyday.rules.yml"
SERVER_RULES = ROOT / "deploy" / "alerts" / "servers.rules.yml"

LEAST_WINDOW = 2.0
"""Seconds of the shortest window: two scrapes."""

_SINCE_START = re.compile(r"(?P<before>\bprocess_start_time_seconds\{[^}]*\} < )(?P<seconds>\d+)")
_DURATION = re.compile(r"(?P<before>\[|for: )(?P<number>\d+)(?P<unit>[smhd])\b")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def alerts(*files: Path) -> list[str]:
    """Return the names of all alerts, in the order of the rules."""
    texts = [file.read_text(encoding="utf-8") for file in files or (RULES, SERVER_RULES)]
    return [name for text in texts for name in re.findall(r"- alert: (\w+)", text)]


def shorter(rules: str, factor: float) -> str:
    """Divide each `for`, each window and each time since a start by a factor. Thresholds stay as they are."""

    def divided(found: re.Match[str]) -> str:
        seconds = int(found["number"]) * _SECONDS[found["unit"]] / factor
        if found["before"] == "[":
            seconds = max(seconds, LEAST_WINDOW)
        return f"{found['before']}{round(seconds * 1000)}ms"

    rules = _SINCE_START.sub(lambda found: f"{found['before']}{int(found['seconds']) / factor:g}", rules)
    return _DURATION.sub(divided, rules)


def section(alert: str) -> str:
    """Return the text of an alert's section, and of the how-to pages that it links to. Raises LookupError."""
    found = re.search(rf"^### {alert}\n(.*?)(?=^##)", RUNBOOK.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if found is None:
        raise LookupError(f"the runbook has no section {alert}")
    pages = sorted(set(re.findall(r"\]\((how-to/\w+\.md)", found[1])))
    return found[1] + "".join((RUNBOOK.parent / page).read_text(encoding="utf-8") for page in pages)


def first_look(alert: str) -> list[str]:
    """Return the commands under "Look first", in their order."""
    text = section(alert).partition("**Look first.**")[2].partition("**Do.**")[0]
    found = re.findall(r"^    ((?:heyday|rabbitmqctl) .*)$|`(heyday [^`]+)`", text, re.MULTILINE)
    return list(dict.fromkeys((block or inline).partition("  #")[0].strip() for block, inline in found))
