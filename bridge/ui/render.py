"""Pages out of templates: what each one knows, and the headers that keep a browser from loading anything else."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from bridge.ui import words
from bridge.ui.asked import partial
from bridge.ui.assets import COMMAND, missing
from bridge.ui.static_files import Addresses

THEME = "lighthouse-theme"
THEMES = ("auto", "light", "dark")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""Nothing comes from elsewhere, and nothing is kept: a page shows what is now."""


class Renderer:
    """The templates, read once."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("bridge.ui"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._templates.filters |= {name: getattr(words, name) for name in _FILTERS}
        self._templates.filters["ago"] = lambda micros: words.ago(micros, time.time_ns() // 1000)
        self._templates.globals |= {"static": Addresses(), "themes": THEMES, "address": address}

    def page(self, request: Request, name: str, status: int = 200, **known: Any) -> Response:
        """A page, or only its part where that is what was asked for: `name.html`, `_name.html`."""
        file = f"_{name}.html" if partial(request) else f"{name}.html"
        return self.whole(request, file, status, **known)

    def whole(self, request: Request, file: str, status: int = 200, **known: Any) -> Response:
        """A template by its file."""
        theme = request.cookies.get(THEME, "")
        common = {"path": request.url.path, "theme": theme if theme in THEMES else "auto", "lacking": _lacking()}
        text = self._templates.get_template(file).render(common | known)
        return HTMLResponse(text, status, headers=dict(HEADERS) | {"Vary": "HX-Request"})


_FILTERS = ("number", "moment", "iso", "span", "plural", "size", "joined")


def _lacking() -> str:
    """What to do where the scripts are not there, or nothing."""
    names = ", ".join(missing())
    return f"These files are missing: {names}. Run `{COMMAND}` once, with a registry in reach." if names else ""


def address(path: str, **query: Any) -> str:
    """An address with a query string; what is None or empty is left out."""
    given = {name: value for name, value in query.items() if value not in (None, "")}
    return quote(path) + (f"?{urlencode(given)}" if given else "")
