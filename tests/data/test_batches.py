"""What fit and evaluate are given, as batches; test_training.py has the forms of it."""

import numpy as np
import pytest

import minidl as dl
from minidl.data.batches import as_batches

A, B, Y = np.arange(24.0).reshape(12, 2), np.arange(36.0).reshape(12, 3), np.arange(12)
W = np.arange(12.0)


def test_batches_of_several_inputs_and_weights_are_read_as_such():
    for x in (A, B), {"a": A, "b": B}:
        assert type(as_batches("data", (x, Y)).x) is type(x)
        for batch in (x, Y), (x, Y, W):
            (own,) = as_batches("data", [batch])
            assert (type(own[0]), len(own)) == (type(x), len(batch))
            assert len(as_batches("data", [batch, batch])) == 2
        with pytest.raises(TypeError, match=r"give DataLoader\(x, y, sample_weight=weight\)"):
            as_batches("data", (x, Y, W))
    for x in (dl.Tensor(A), B), {"a": dl.Tensor(A), "b": B.tolist()}:  # tensors stay tensors
        ((own, _),) = as_batches("data", [(x, Y)])
        first, second = own if isinstance(own, tuple) else own.values()
        assert first is (x[0] if isinstance(x, tuple) else x["a"])
        assert np.array_equal(second, B)
