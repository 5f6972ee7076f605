"""Metrics, plots, the report of a run, progress displays and TensorBoard events.

May import: training.
"""
