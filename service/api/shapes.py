"""The shapes of JSON values that nodes of several versions share with each other."""

from __future__ import annotations

from types import UnionType
from typing import Any, TypeAlias

Shape: TypeAlias = "type | UnionType | dict[str, Shape] | list[Shape] | tuple[Shape, ...]"
"""A type, an object that has these members and maybe others, an array whose items have the one shape, or alternatives.
"""

NUMBER = int | float


def has_shape(value: Any, shape: Shape) -> bool:
    """True when the value has the shape, with all that is in it."""
    if isinstance(shape, dict):
        return isinstance(value, dict) and all(
            name in value and has_shape(value[name], member) for name, member in shape.items()
        )
    if isinstance(shape, list):
        return isinstance(value, list) and all(has_shape(item, shape[0]) for item in value)
    if isinstance(shape, tuple):
        return any(has_shape(value, one) for one in shape)
    return isinstance(value, shape)
