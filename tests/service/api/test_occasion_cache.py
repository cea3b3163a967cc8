"""The rules that requests are answered by, while people change them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from service.api.occasion_cache import TRIES, OccasionCache
from service.domain.planning import PlanningRules
from service.node.clock import BusinessClock
from service.ports import Planning, RulesChanged


class Rules:
    """Reads rules of a new version each time."""

    def __init__(self) -> None:
        self.version = 0

    async def rules(self) -> PlanningRules:
        self.version += 1
        return cast("PlanningRules", SimpleNamespace(version=self.version))


@pytest.mark.parametrize("changes", [0, 1, TRIES - 1])
async def test_a_write_outlasts_several_changes_of_the_rules(changes: int) -> None:
    """Each try goes by the rules that are new then. A person may save a form many times in a second."""
    cache = OccasionCache(cast("Planning", Rules()), cast("BusinessClock", None))

    async def write(rules: Any) -> int:
        if rules.version <= changes:
            raise RulesChanged
        return int(rules.version)

    assert await cache.apply(write) == changes + 1


async def test_a_write_gives_up_while_the_rules_never_rest() -> None:
    """The client is told to come again."""
    cache = OccasionCache(cast("Planning", Rules()), cast("BusinessClock", None))

    async def write(_rules: PlanningRules) -> None:
        raise RulesChanged

    with pytest.raises(RulesChanged):
        await cache.apply(write)
