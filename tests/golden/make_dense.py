"""Write dense.json: weights, inputs and outputs of dense layers of PyTorch and Keras.

    python tests/golden/make_dense.py

This needs PyTorch 2.13 (CPU) and Keras 3.15 with JAX 0.10. It computes in float64 and writes the
same bytes in every run. Each case has the layer's library, its weights as that library gives them,
an input x and the output y. tests/test_nn.py loads the weights into a Dense.
"""

import os
from pathlib import Path

import numpy as np
import shared

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_ENABLE_X64"] = "1"

import keras
import torch

SEED = 20261130
HERE = Path(__file__).parent


def main():
    rng = np.random.default_rng(SEED)
    cases = []
    for bias in (True, False):
        weight, b, x = (rng.normal(size=n).round(3) for n in ((3, 2), 2, (4, 3)))
        linear = torch.nn.Linear(3, 2, bias=bias).double()
        dense = keras.layers.Dense(2, use_bias=bias, dtype="float64")
        dense.build((None, 3))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight.T))
            if bias:
                linear.bias.copy_(torch.tensor(b))
        dense.set_weights([weight, b][: 1 + bias])
        weights = {name: p.tolist() for name, p in linear.named_parameters()}
        y = linear(torch.tensor(x)).tolist()
        cases.append({"library": "torch", "weights": weights, "x": x.tolist(), "y": y})
        weights = [w.tolist() for w in dense.get_weights()]
        y = np.asarray(dense(x)).tolist()
        cases.append({"library": "keras", "weights": weights, "x": x.tolist(), "y": y})
    head = shared.about(__file__, SEED, torch="2.13", keras="3.15", jax="0.10")
    shared.write(HERE / "dense.json", head, cases=cases)


if __name__ == "__main__":
    main()
