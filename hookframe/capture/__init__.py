"""Activations kept: caches on disk, captures over many forwards, and their cost told beforehand.

The names below are loaded when they are first used.
"""

from typing import TYPE_CHECKING

from hookframe.lending import lend

if TYPE_CHECKING:
    from hookframe.capture.job import CaptureJob as CaptureJob
    from hookframe.capture.text_capture import TextCapture as TextCapture
    from hookframe.capture.text_model import TextModel as TextModel
    from hookframe.capture.texts import TextFile as TextFile

__getattr__, __dir__, __all__ = lend(__name__)
