"""The journal of hookframe: what was decided and what happened, as files that show whether somebody changed them.

Importing this package imports neither torch nor the plugin; :mod:`hookframe_journal.installed` has what the entry point names,
:mod:`hookframe_journal.plugin` what a program registers itself. Reading is :mod:`hookframe.audit`.
"""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
