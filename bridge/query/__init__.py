"""Reading projections: their rows now or as of a time, and how their builds stand."""
