"""Lighthouse Bridge: event sourcing on Apache Kafka. The log is the truth, everything else is a fold of it."""
