"""The walkthrough: record a training step with `trace`, and show every number of it.

For learners and teachers. `trace` and `Walkthrough` are what a user needs; `parser`, `formulas` and
`typesetting` read formulas, `record` holds what happened, `parts`, `remarks` and `steps` say what
to show, `text`, `graph` and `page` write it.
"""

from minidl.walkthrough.recorder import trace
from minidl.walkthrough.walk import Walkthrough

__all__ = ["Walkthrough", "trace"]
