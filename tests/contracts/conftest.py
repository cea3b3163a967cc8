"""Seeds of the random calls."""

from __future__ import annotations

import os

import pytest

SEEDS = 5
"""Number of seeds; `HEYDAY_TEST_SEEDS=5000 pytest tests/contracts` runs more."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test per seed."""
    if "contract_seed" in metafunc.fixturenames:
        metafunc.parametrize("contract_seed", range(int(os.environ.get("HEYDAY_TEST_SEEDS", SEEDS))))
