"""A training step that is recorded while it runs, and replayed by one call into C.

While a step is recorded, all arrays in it are `Traced`: NumPy hands every call with such an array
to the array itself, which makes the call, and adds it to a plan; so do minidl's kernels. The plan
is then a flat list of calls on arrays that stay where they are (`_kernels.plan`), and a replay runs
the calls again on new inputs (`_kernels.replay`), to the same bits.

Nothing leaves a recording unnoticed: what Python would decide by a value is an error. What was
decided without the arrays, such as random numbers from elsewhere, differs from call to call. So a
step is recorded twice, and the two recordings must agree. What a step reads from modules, variables
and settings is checked before each replay.
"""

from minidl._capture.arrays import plain as plain
from minidl._capture.recording import CaptureError as CaptureError
from minidl._capture.recording import Recording as Recording
from minidl._capture.step import capture as capture
from minidl._capture.step import rows as rows
