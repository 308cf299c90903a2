"""The walkthrough: every number of a training step, recorded and explained."""
