"""Whole nodes, as in tests/node."""

from tests.node.conftest import another_world as another_world
