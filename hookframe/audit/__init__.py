"""Journals, read: entries as values, from files of which none can do harm. The plugin ``hookframe-journal`` writes them."""
