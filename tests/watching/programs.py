"""Finds the programs of Prometheus on the PATH; as root on Debian it installs them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cache

from tests.servers import install_with_apt, one_process_at_a_time


class NotInstalled(Exception):
    """The programs of Prometheus are missing and cannot be installed."""


@dataclass(frozen=True)
class Programs:
    """Paths of the server, of the checker of its rules, and of the checker of Alertmanager's file."""

    prometheus: str
    promtool: str
    amtool: str


@cache
def find_programs() -> Programs:
    """Return the programs of this machine. Raises NotInstalled: these tests are never skipped."""
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
