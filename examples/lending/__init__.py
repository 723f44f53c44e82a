"""A library that lends copies of books: two aggregates, and a decision over both."""
