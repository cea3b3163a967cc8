"""The programs of Prometheus that tests run: those on the PATH, else, as root on Debian, installed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache

from tests.servers import install_with_apt, one_process_at_a_time


class NotInstalled(Exception):
    """The programs of Prometheus are neither there nor ours to install."""


@dataclass(frozen=True)
class Programs:
    """Paths of the server, of the tool that checks its rules, and of the one that checks Alertmanager's file."""

    prometheus: str
    promtool: str
    amtool: str


@cache
def find_programs() -> Programs:
    """The programs of this machine. Raises NotInstalled with what to do: these tests are not skipped."""
    with one_process_at_a_time():
        found = _on_path() or (install_with_apt("prometheus", "prometheus-alertmanager") and _on_path())
    if not found:
        raise NotInstalled(
            "The alerts and dashboards are tested with prometheus, promtool and amtool, which were not found on the"
            " PATH: install Prometheus and Alertmanager (on Debian: apt-get install prometheus prometheus-alertmanager)"
        )
    return found


def _on_path() -> Programs | None:
    prometheus, promtool, amtool = (shutil.which(name) for name in ("prometheus", "promtool", "amtool"))
    return Programs(prometheus, promtool, amtool) if prometheus and promtool and amtool else None
