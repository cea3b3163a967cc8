"""The files that Grafana loads, and their contents."""

from __future__ import annotations

import json
from pathlib import Path

from grafana.boards import api_performance, database_performance, error_tracking, message_processing, system_health

FOLDER = Path(__file__).parent / "dashboards"

BOARDS = {
    "system_health": system_health.BOARD,
    "message_processing": message_processing.BOARD,
    "api_performance": api_performance.BOARD,
    "database_performance": database_performance.BOARD,
    "error_tracking": error_tracking.BOARD,
}


def contents() -> dict[Path, str]:
    """Return the contents of each file."""
    return {
        FOLDER / f"{name}.json": json.dumps(board, indent=2, ensure_ascii=False) + "\n"
        for name, board in BOARDS.items()
    }
