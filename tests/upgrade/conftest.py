"""Fixtures of worlds for upgrades."""

from tests.node.conftest import small_world as small_world
