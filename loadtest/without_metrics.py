"""`python -m loadtest.without_metrics run` is `heyday run` that counts nothing: what a wave saves by that is what its
metrics cost (`python -m loadtest.telemetry --waves 5`). Of no other use: such a node cannot be watched.
"""

from __future__ import annotations

import sys
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from actors import cli
from actors.delivery.recorder import Recorder


class _Nothing:
    """A series that keeps nothing."""

    def inc(self, _amount: float = 1) -> None: ...

    def set(self, _value: float) -> None: ...

    def set_to_current_time(self) -> None: ...

    def observe(self, _amount: float) -> None: ...


def _nothing(*_: Any, **__: Any) -> Any:
    return _NOTHING


_NOTHING = _Nothing()


def main() -> int:
    """Run a command of heyday in which every metric does nothing, and nothing is added up for them."""
    for kind in (Counter, Gauge, Histogram):
        for method in ("labels", "inc", "set", "set_to_current_time", "observe"):
            if hasattr(kind, method):
                setattr(kind, method, _nothing)
    Recorder._count = _nothing  # type: ignore[method-assign]  # noqa: SLF001 - all that it does is count
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
