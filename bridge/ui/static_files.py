"""The pages' own files, with addresses that change when they do, so that browsers keep them for ever."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

ROOT = Path(__file__).parent / "static"
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
FONTS = "public, max-age=86400"


class Files(StaticFiles):
    """Serves `static/`. A file with its hash in the address never changes; a font may be a day old."""

    def __init__(self) -> None:
        super().__init__(directory=ROOT)

    def file_response(
        self, full_path: Any, stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        """The file with the header that says how long it may be kept."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        kept = FONTS if str(full_path).endswith(".woff2") else ASK_AGAIN
        response.headers["Cache-Control"] = FOR_EVER if scope.get("query_string") else kept
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response


class Addresses:
    """The address of each file, with a part of its hash; made once, when a process starts to serve pages."""

    def __init__(self) -> None:
        files = (file for file in ROOT.rglob("*") if file.is_file())
        self._by_name = {file.relative_to(ROOT).as_posix(): _digest(file) for file in files}

    def __call__(self, name: str) -> str:
        """`window.css` -> `/static/window.css?v=1a2b3c4d`; a file that is missing has an address that answers 404."""
        return f"/static/{name}?v={self._by_name.get(name, 'missing')}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:10]
