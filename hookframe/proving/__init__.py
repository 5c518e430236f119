"""Proofs that a person can run on their own code: no hook is left behind, and observing changes nothing."""
