"""What people look at: measures, pictures, the report of a run, its progress, events for TensorBoard.

May import: training.
"""
