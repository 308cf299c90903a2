"""Values of recorded arrays that Python asks for, each a CaptureError."""

import numpy as np
import pytest
from capturing import FRESH, SAME, F, assert_refused, bits, table

import minidl as dl
from minidl._capture.arrays import details, plain
from minidl._capture.recording import Recording

REFUSED = {  # what x or the loss is multiplied by
    "item": lambda x, y: 2 if dl.Tensor(x).sum().item() > 0 else 1,
    "a branch on a tensor": lambda x, y: 2 if dl.Tensor(x).sum() > 0 else 1,
    "a branch on an array": lambda x, y: 2 if x[0, 0] > 0 else 1,
    "float": lambda x, y: float(x.sum()),
    "int": lambda x, y: int(np.argmax(x[0])),
    "an index": lambda x, y: [1.0, 2.0, 3.0, 4.0, 5.0][np.argmax(x[:, 0])],
    "a slice": lambda x, y: x[: np.argmax(x[:, 0]) + 1].sum(),
    "np.asarray": lambda x, y: np.asarray(x).sum(),
    "np.array of parts": lambda x, y: np.array([row.sum() for row in x]).sum(),
    "tolist": lambda x, y: sum(x.ravel().tolist()),
    "tobytes": lambda x, y: x.tobytes()[0],
    "flat": lambda x, y: max(x.flat),
    "a format": lambda x, y: float(f"{x[0, 0]:.1f}"),
    "in": lambda x, y: 2 if 0.5 in x else 1,
    "max": lambda x, y: max(x[0, 0], x[1, 0]),
    "sorted": lambda x, y: sorted(x[:, 0])[0],
    "np.any": lambda x, y: 2 if np.any(x > 2) else 1,
    "np.allclose": lambda x, y: 1 + np.allclose(x, x[0]),
    "str": lambda x, y: len(str(x[0])),
    "repr": lambda x, y: len(repr(x[0])),
}


@table("factor", REFUSED)
@pytest.mark.parametrize("batches", [FRESH, SAME], ids=["fresh", "the same batch"])
def test_what_cannot_be_recorded_is_an_error_that_names_the_line(factor, batches):
    assert_refused(factor, batches, r"test_arrays\.py:\d+")


def test_an_array_as_an_index_is_refused_with_another_way_which_can_be_captured():
    rows, labels = np.eye(3, dtype=F), np.array([2, 0, 1])
    with pytest.raises(dl.CaptureError, match=r"an index .* dl.Tensor\(a\)\[i\]"):
        dl.capture(lambda i: rows[i].sum())(labels)
    taken = dl.capture(lambda i: dl.Tensor(rows)[i])
    for i in range(4):
        assert bits(taken((labels + i) % 3).data) == bits(rows[(labels + i) % 3])


def test_plain_arrays_stand_for_recorded_ones_in_nests_of_tuples_lists_and_dicts():
    x = np.ones(2)
    recorded = Recording(lambda: None, True).record(x)
    given = (recorded, [recorded, 3], {"x": (recorded,)}, (), {}, "text")
    found = plain(given)
    assert found == (x, [x, 3], {"x": (x,)}, (), {}, "text")
    assert [type(found[0]), type(found[1][0]), type(found[2]["x"][0])] == [np.ndarray] * 3


def test_details_are_what_is_no_array():
    assert details((np.ones(2), 1, 1.0), {"axis": None}) == ("1", "1.0", "None")
    assert details(-0.0) != details(0.0)
    assert details(len) == ("builtin_function_or_method",)
