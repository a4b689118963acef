"""The baseline of the HTTP rows: a FastAPI route that does nothing, served as the API is."""

from __future__ import annotations

from fastapi import FastAPI

app = FastAPI()


@app.post("/{path:path}", status_code=201)
async def accept(path: str) -> dict[str, str]:
    """Takes anything."""
    return {"path": path}


@app.get("/{path:path}")
async def answer(path: str) -> dict[str, str]:
    """Answers anything."""
    return {"path": path}
