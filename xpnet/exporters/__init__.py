"""Trained models for other libraries to run: a module for each format, imported when it is asked for."""
