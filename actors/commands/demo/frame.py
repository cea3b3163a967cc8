"""Arranges the parts of the live view: one column, or two columns on a wide terminal."""

from __future__ import annotations

from rich.text import Text

from actors.commands.demo import parts
from actors.commands.demo.scene import Scene

WIDE = 110
"""Width in columns from which there are two columns."""

LEFT = 66
"""Width of the left column, with the cities."""


def frame(scene: Scene, width: int, height: int) -> list[Text]:
    """Draw a scene as exactly `height` lines of at most `width` columns."""
    above = [*parts.title(scene, width), *parts.nine(scene, width), *parts.belt(scene, width)]
    below = [*parts.verdict(scene, width), *parts.addresses(scene, width)]
    room = height - len(above) - len(below)
    body = _wide(scene, width, room) if width >= WIDE else _narrow(scene, width, room)
    lines = [*above, *body[: max(0, room)]]
    lines += [Text()] * (height - len(lines) - len(below))
    picture = [*lines, *below][:height]
    for line in picture:
        line.truncate(width)
    return picture


def _narrow(scene: Scene, width: int, height: int) -> list[Text]:
    totals = parts.totals(scene, width)
    room = height - len(totals)
    greetings = min(8, max(3, room // 3))
    cities = parts.cities(scene, width, max(2, room - greetings))
    return [*cities, *parts.greetings(scene, width, greetings), *totals]


def _wide(scene: Scene, width: int, height: int) -> list[Text]:
    right_width = width - LEFT - 2
    left = parts.cities(scene, LEFT, height)
    totals = parts.totals(scene, right_width)
    right = [*totals, Text(), *parts.greetings(scene, right_width, height - len(totals) - 1)]
    return [_beside(left, right, index) for index in range(height)]


def _beside(left: list[Text], right: list[Text], index: int) -> Text:
    one = left[index] if index < len(left) else Text()
    other = right[index] if index < len(right) else Text()
    return Text.assemble(one, " " * max(0, LEFT + 2 - one.cell_len), other)
