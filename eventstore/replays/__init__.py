"""Replays: what is asked for, how it stands, and each step of it."""
