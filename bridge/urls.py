"""A URL as it is shown to people and written to logs."""

from __future__ import annotations

import re

HIDDEN = "***"
RESERVED = "it cannot be taken apart; in a password, write / as %2F, # as %23, ? as %3F, @ as %40, [ as %5B"
"""What to do about a URL that cannot be taken apart."""

_OPTION = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)
_USER = re.compile(r"^([\w.+-]*:(?://)?)?.*@", re.DOTALL)


def without_secret(url: str) -> str:
    """The URL with `***` for who connects, and for options such as `password`.

    It need not be well formed: all that stands before the last `@` is hidden, for a password may have `/` and `#`.
    """
    return _USER.sub(rf"\1{HIDDEN}@", _OPTION.sub(rf"\1{HIDDEN}", url))
