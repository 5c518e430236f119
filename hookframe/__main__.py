"""``python -m hookframe``: the command."""

from __future__ import annotations

from hookframe.cli.main import main

if __name__ == "__main__":
    main()
