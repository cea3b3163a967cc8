"""Whole nodes, for documents that talk to one."""

from tests.node.conftest import small_world as small_world
from tests.node.conftest import world as world
