"""A whole node, with its real jobs and limits."""

from tests.node.conftest import small_world as small_world
