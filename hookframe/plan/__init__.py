"""Hooks as data: a plan that a person can read, a policy can judge, and a file can hold."""
