"""Command lines: each module is one command with its ``main``; `flags`, `console` and `outputs` they share.

Only they print, but for estimators and `TwoLayerNet` with ``verbose``, and the progress on standard error.

May import: everything but the entry points.
"""
