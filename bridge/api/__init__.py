"""The front: FastAPI, one router a resource (DESIGN 8).

Read in this order: `app` (how it is put together), `front` (what a request can use), `streams` and `commands`
(the calls), `writing` (from a body to an append), `problems` (from an error to an answer), `tokens` (positions).
"""
