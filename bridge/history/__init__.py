"""Reading a stream at a version or at a time (DESIGN 6, H1-H3)."""
