"""What the platform decides: read straight from the log by every process that must heed it."""
