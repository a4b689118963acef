"""The window: pages for people who would rather look than read, on the API's own application.

Read in this order: `routes` (every address), `window` (what a page can use), `render` (how one is made), then the
pages: `streams`, `stream`, `events`, `projections`, `system`. `timeline`, `tree` and `textdiff` are pure.
"""
