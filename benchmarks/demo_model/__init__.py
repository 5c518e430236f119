"""The demo model of hookframe, trained and measured: run by hand."""
