"""Delivery: events go to the bus, as CloudEvents; what was refused or dropped goes once more."""
