"""A whole node to ask: its jobs are real, and so are its limits."""

from tests.node.conftest import small_world as small_world
