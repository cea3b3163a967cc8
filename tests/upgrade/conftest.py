"""Worlds in which nodes are upgraded."""

from tests.node.conftest import small_world as small_world
