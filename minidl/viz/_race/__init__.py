"""Races of optimizers over surfaces of two parameters."""
