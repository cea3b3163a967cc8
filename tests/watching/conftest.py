"""Fixtures for tests of alerts and dashboards."""

from __future__ import annotations

import pytest

from tests.node.conftest import small_world as small_world
from tests.watching.programs import Programs, find_programs


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Prometheus and its tools."""
    return find_programs()
