"""A simulation of hot shards up to 1,000,000 events a second: docs/scale.md reads it."""
