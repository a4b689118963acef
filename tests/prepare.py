"""`python -m tests.prepare`: topics and schemas of the applications that this process finds."""

import asyncio

from bridge.settings import Settings
from tests.servers import prepare

if __name__ == "__main__":
    asyncio.run(prepare(Settings()))
