"""A small transformer with hook points, its training text, and a steering experiment: something to try hookframe on."""
