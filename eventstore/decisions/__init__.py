"""Decisions: load a stream, decide by its state, append; again where somebody was faster."""
