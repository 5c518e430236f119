"""The version of hookframe, for those who may not import the top of the package."""

__all__ = ["__version__"]

__version__ = "0.1.0"
