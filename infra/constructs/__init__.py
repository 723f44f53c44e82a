"""The constructs: each owns the resources of one feature, its alarms and its part of the dashboard."""
