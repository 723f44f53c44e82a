"""Transfer: a store's events into a file and back, every text and Timestamp as it was.

`lines` is the file's format, `selection` chooses what goes in, `export` writes it, `importing`
checks it and writes it into a store.
"""
