"""Columns of a table: from data frames of any library to a matrix of numbers, and to targets.

`Columns`, in ``columns``, is inferred from training rows and turns any rows into a matrix. ``outputs`` takes
out the targets, and ``tabular`` is a table in memory, of any library. ``column`` describes one input, and
``inference`` decides the kinds of columns; ``raw``, ``cells``, ``words``, ``instants`` and ``meanings`` read
their values.

May import: nothing but the ground.
"""
