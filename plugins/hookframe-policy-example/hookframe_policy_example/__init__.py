"""The policy is data beside this file; nothing here is imported to read it."""
