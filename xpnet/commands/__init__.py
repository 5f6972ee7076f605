"""Command lines: the only modules that print.

Each module but `flags`, `console` and `outputs`, which they share, is one command with its ``main``.

May import: everything but the entry points.
"""
