"""What is on a model: every hook of it, held against those that an admission let through."""
