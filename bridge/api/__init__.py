"""The HTTP API: FastAPI, one router a resource (DESIGN 8)."""
