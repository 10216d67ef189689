"""A plug-in that was written for another version of a package: it cannot be imported."""

from json import no_such_function

__all__ = ["no_such_function"]
