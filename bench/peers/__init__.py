"""The peers: each used as its own documentation says, on the table that it wants."""
