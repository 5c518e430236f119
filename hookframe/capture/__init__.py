"""Activations kept: caches on disk, captures over many forwards, and their cost told beforehand."""
