"""automl: compresses a CNN under a budget."""

__version__ = "0.1.0"
