"""The command line `lighthouse`."""
