"""Whether minidl holds under faults: the parts of `python -m tests.campaign`."""
