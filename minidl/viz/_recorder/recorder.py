"""Recorder, which records a training by fit for a page."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from minidl.viz._recorder import page
from minidl.viz._recorder.recording import Recording


class Recorder(Recording):
    """Records a training by `dl.fit`, for a page on which its steps can be scrubbed afterwards.

    every  steps between two looks

    `fit(..., record=recorder)` looks at the weights before the first step, after every so many
    steps and after the last one. The page has the losses and metrics, the rate, of each layer the
    norm of the gradient, the ratio of update and weights and the effective rates, the activations,
    the first layer's weights, and for one or two inputs what the model gives over them.

    At most 64 looks are kept. If there would be more, the distance between two looks is a multiple
    of `every`; where nobody knows the number of steps, looks are left out as they become too many.
    Their arrays have about 64 MB at most, so there are fewer looks at a model of more than 250,000
    weights; and of more than a million, the weights are not kept, from which activations are
    computed. The training has the same bits as without a recorder.

    With `history=` or `resume=` a recorder goes on if it has recorded the training so far. Else a
    training begins the record anew.

    TypeError or ValueError unless `every` is a whole number ≥ 1.

    >>> x = np.linspace(-1.0, 1.0, 32).reshape(-1, 1)
    >>> model = dl.nn.MLP([1, 8, 1], "tanh", rng=0)
    >>> recorder = dl.viz.Recorder(every=10)
    >>> history = dl.fit(model, dl.losses.mse, dl.optim.Adam(model), (x, x**2), epochs=30,
    ...                  record=recorder, progress=False)
    >>> recorder
    Recorder(every=10)  # 4 looks at 30 steps
    >>> recorder.steps
    [0, 10, 20, 30]
    """

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the page, one file that needs no network, and return its path.

        RuntimeError if nothing was recorded, ValueError unless the name ends in .html, OSError if
        the file can't be written, ModuleNotFoundError without Jinja2.
        """
        return page.save(self, path)

    def _repr_html_(self) -> str | None:
        """The page inside an iframe, for a notebook."""
        return page.frame(self) if self.looks else None
