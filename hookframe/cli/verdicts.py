"""The colours of verdicts, wherever one is shown."""

from __future__ import annotations

__all__ = ["COLOURS"]

COLOURS = {"deny": "red", "skip": "yellow", "warn": "yellow", "audit": "bright_black", "allow": "green"}
