"""What an error of the code under test is: an answer to whoever asked, or a crash."""

from __future__ import annotations

from bridge.errors import LighthouseError


class Crash(AssertionError):
    """Code has failed: that is wrong, but no invariant has found it."""


def answered(error: BaseException, *kinds: type[LighthouseError]) -> None:
    """Whoever is not served gets one of these errors. Raises Crash for one that was never meant as an answer."""
    if not isinstance(error, (LighthouseError, AssertionError)):
        raise Crash(f"nobody was to be answered with {error!r}") from error
    assert isinstance(error, kinds), f"{error!r} is no answer here"
