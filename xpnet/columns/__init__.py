"""What the columns of a table are: from frames of any library to a matrix of numbers, and to targets.

`Columns`, in ``columns``, is inferred from training rows and makes the matrix of any; ``outputs`` takes out
what is to be predicted; ``tabular`` is a table in memory, whoever made it. ``column`` is one input, and
``inference`` decides what columns are; ``raw``, ``cells``, ``words``, ``instants`` and ``meanings`` are about
their values.

May import: nothing but the ground.
"""
