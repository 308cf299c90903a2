"""The recorder of a training by fit, and the page on which its steps can be scrubbed."""
