"""What the platform promises, measured: each row starts the servers it needs and takes its baseline in the same run."""
