"""The order of what a table's stream delivers: each stream's events by EventId, without a hole."""
