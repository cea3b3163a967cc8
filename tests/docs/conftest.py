"""Fixtures with whole nodes."""

from tests.node.conftest import small_world as small_world
from tests.node.conftest import world as world
