"""Races of optimizers on surfaces of two parameters; `dl.viz.race` is their entry point."""
