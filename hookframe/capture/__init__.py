"""Activations kept: caches on disk, captures over many forwards, and their cost told beforehand.

The names below are loaded when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.capture.job import CaptureJob
    from hookframe.capture.text_capture import TextCapture
    from hookframe.capture.text_model import TextModel
    from hookframe.capture.texts import TextFile

__all__ = ["CaptureJob", "TextCapture", "TextFile", "TextModel"]

__getattr__, __dir__ = lend(
    __name__,
    {
        "CaptureJob": "hookframe.capture.job",
        "TextCapture": "hookframe.capture.text_capture",
        "TextFile": "hookframe.capture.texts",
        "TextModel": "hookframe.capture.text_model",
    },
)
