"""Imports that fail, for the tests of what is said then."""

import builtins


def fail_to_import(monkeypatch, failing, error):
    """Let the import of a module raise an error."""
    imported = builtins.__import__

    def fail(name, *args):
        if name == failing:
            raise error
        return imported(name, *args)

    monkeypatch.setattr(builtins, "__import__", fail)
