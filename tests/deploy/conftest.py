"""Fixtures with whole nodes, as in tests/node, and with servers of a test's own."""

from tests.actors.commands.sandbox.conftest import made as made
from tests.actors.commands.sandbox.conftest import place as place
from tests.node.conftest import another_world as another_world
