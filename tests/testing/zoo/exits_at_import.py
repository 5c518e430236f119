"""Cannot be imported: exits."""

raise SystemExit(3)
