"""The ordered key-value contract that histories lie in, and its adapters (DESIGN 7)."""
