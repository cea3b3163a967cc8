"""Writes the OpenAPI documents of a node with keys and of one without: `python -m tests.openapi FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import Mock

from service.api.application import application
from service.api.http.json_text import encode
from service.api.openapi.document import openapi
from service.domain.occasions import DEFAULTS
from service.settings import Secret, Settings


def main() -> None:
    """Write both documents. Only the routes are read, so no server is needed."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    dependencies = Mock(settings=Settings(Secret(), Secret(), Secret()), needed={}, checks={})
    routes = list(application(dependencies, draining=lambda: False).router.routes())
    codes = [occasion.code for occasion in DEFAULTS]
    for name, keyed in (("with-keys.json", True), ("without-keys.json", False)):
        (folder / name).write_bytes(encode(openapi(routes, codes, keyed=keyed)))


if __name__ == "__main__":
    main()
