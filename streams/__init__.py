"""The processors: consume, admit, apply, commit (DESIGN 6, P1-P7)."""
