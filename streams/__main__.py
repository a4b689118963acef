"""`python -m streams`: one processor in this process."""

from __future__ import annotations

import asyncio

from bridge.settings import Settings
from streams.main import main

if __name__ == "__main__":
    asyncio.run(main(Settings()))
