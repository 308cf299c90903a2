"""A Recorder's page and repr; `test_recording` tests its looks, `test_page` its page."""

import numpy as np
import pytest

import minidl as dl


def test_a_recorder_says_what_it_has_and_saves_its_page(tmp_path):
    recorder = dl.viz.Recorder(every=3)
    assert repr(recorder) == "Recorder(every=3)  # nothing recorded"
    with pytest.raises(RuntimeError, match="nothing was recorded yet"):
        recorder.save(tmp_path / "run.html")
    model = dl.nn.Dense(1, 1, rng=0)
    data = np.ones((4, 1), np.float32), np.ones((4, 1), np.float32)
    arguments = model, dl.losses.mse, dl.optim.SGD(model), data
    dl.fit(*arguments, epochs=7, progress=False, record=recorder)
    assert repr(recorder) == "Recorder(every=3)  # 4 looks at 7 steps"
    assert recorder.spacing == 3
    assert recorder.save(tmp_path / "run.html").stat().st_size > 10_000
