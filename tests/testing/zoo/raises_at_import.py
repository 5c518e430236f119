"""Cannot be imported: raises."""

raise ImportError("a library is missing")
