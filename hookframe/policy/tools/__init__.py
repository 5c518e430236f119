"""Looking at a policy: its own tests, mutants of it, comparing two, replaying a journal, tracing one decision.

Door: all of its files. Imports every other room of the policy; none of them imports this one.
"""
