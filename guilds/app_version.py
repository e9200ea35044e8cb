"""The one place of the version: the Lambda and the worker carry this package and no pyproject.toml."""

__version__ = "0.1.0"
