"""Everything at once, under load, with faults: brokers, databases, processors and APIs as real processes."""
