"""Draws the demo's terminal as an SVG file: runs `heyday demo` for one day and exports a frame of it.

The frame is drawn by the demo itself (`actors/commands/demo/frame.py`) from what the servers and the node say.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import uvloop
from rich.console import Console
from rich.terminal_theme import MONOKAI

from actors.commands.demo.frame import frame
from actors.commands.demo.options import DemoOptions
from actors.commands.demo.scene import Scene
from actors.commands.demo.screen import Screen
from actors.commands.demo.story import Story
from loadtest.servers import be_cancelled_by_signals

WIDTH, HEIGHT = 124, 34
"""Columns and rows of the terminal in the picture: room for two columns."""

SHARE_OF_DAY = 0.55
"""The frame shows the demo when this share of its first day has passed: half of the world has had its 09:00."""

_FONT_FACES = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
"""rich loads its font from another host. Without that, the browser uses the reader's own monospaced font."""


class Camera(Screen):
    """A screen that keeps the first scene after the wanted share of the day, and prints what the demo says."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self.kept: Scene | None = None

    def show(self, scene: Scene) -> None:
        """Keep the scene if it is the wanted one."""
        if self.kept is None and scene.day.elapsed(scene.now) >= SHARE_OF_DAY:
            self.kept = scene


def picture(scene: Scene) -> str:
    """Return the SVG of a scene; it needs no font and no file from another host."""
    console = Console(
        record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    for line in frame(scene, WIDTH, HEIGHT):
        console.print(line, no_wrap=True, crop=True, highlight=False)
    drawn = console.export_svg(title="make demo", theme=MONOKAI, unique_id="heyday-demo")
    return _FONT_FACES.sub("", drawn).replace("Fira Code", "ui-monospace, Menlo, Consolas")


async def take(seconds_per_day: float) -> tuple[Scene | None, bool]:
    """Run one day of a demo in a directory of its own; return the kept scene and the verdict of the day."""
    be_cancelled_by_signals()
    camera = Camera(Console(highlight=False))
    good = await Story(DemoOptions(seconds_per_day=seconds_per_day, once=True), camera).tell()
    return camera.kept, good


def main() -> int:
    """Write the picture; exit code 1 if the day did not go well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=Path("docs/images/demo.svg"), help="(%(default)s)")
    parser.add_argument("--seconds-per-day", type=float, default=60.0, help="seconds that the day takes (%(default)g)")
    args = parser.parse_args()
    file = args.file.resolve()
    with tempfile.TemporaryDirectory(prefix="heyday-picture-", dir="/var/tmp") as directory, chdir(directory):
        Path(directory).chmod(0o755)  # the account of the embedded servers has to get through
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            scene, good = runner.run(take(args.seconds_per_day))
    if scene is None or not good:
        print("The day did not go well; no picture was written.", file=sys.stderr)  # noqa: T201 - a command
        return 1
    file.write_text(picture(scene), encoding="utf-8")
    print(f"{args.file} written")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main())
