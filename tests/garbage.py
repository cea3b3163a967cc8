"""Collects the garbage of a test without a look at the rest of its process."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def only_what_is_made() -> Iterator[None]:
    """Let `gc.collect` look only at objects that the body makes.

    A test process holds half a million objects of other tests and libraries. To look at all takes 0.2 s.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
