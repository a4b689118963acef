"""Whether an environment survived the last boot: the file `boot` beside it.

An environment is not synced at each commit, so after a power failure its pages may be of different commits, and
nothing inside it can tell. The file holds the boot in which an owner last wrote, durably, before its first commit;
`clean <boot>` after it synced and closed; `damaged` when somebody met a broken page.
"""

from __future__ import annotations

from pathlib import Path

from bridge.store.machine import boot_id, replace, write_durably

CLEAN = "clean "
DAMAGED = "damaged"


class BootRecord:
    """The record of one environment."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "boot"

    def trusted(self) -> bool:
        """Whether the environment's pages belong together: never written, closed cleanly, or written in this boot."""
        text = self._read()
        return text is None or text.startswith(CLEAN) or text == str(boot_id())

    def torn(self) -> bool:
        """Whether the machine went down while an owner wrote."""
        return not self.trusted() and self._read() != DAMAGED

    def dirty(self) -> None:
        """An owner writes from now on; returns when this is on disk. A damaged environment stays so."""
        if self.trusted() and self._read() != str(boot_id()):
            write_durably(self._file, str(boot_id()))

    def clean(self) -> None:
        """Everything is on disk and nobody writes. Call it with the writer lock held."""
        if self.trusted():
            replace(self._file, CLEAN + str(boot_id()))

    def damaged(self) -> None:
        """A page is broken: the next owner starts anew."""
        write_durably(self._file, DAMAGED)

    def forget(self) -> None:
        """The environment starts anew."""
        self._file.unlink(missing_ok=True)

    def _read(self) -> str | None:
        try:
            return self._file.read_text()
        except FileNotFoundError:
            return None
