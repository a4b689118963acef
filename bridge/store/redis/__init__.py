"""The Redis adapter: hot rows that many machines read, in one server or a cluster of them (DESIGN 6)."""
