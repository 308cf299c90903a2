"""The page of a recorded training: one file, whose text and title say what was trained."""

import re

import numpy as np
import pytest

import minidl as dl
from minidl.viz._recorder import page

X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
HOSTILE = "</script><script>alert(1)</script>"


@pytest.fixture(scope="module")
def recorder():
    model = dl.nn.MLP([2, 4, 2], rng=0)
    own = dl.viz.Recorder(every=5)
    more = {"epochs": 20, "progress": False, "record": own}
    metrics = {HOSTILE: lambda p, y: 1.0}
    arguments = model, dl.losses.cross_entropy, dl.optim.SGD(model, lr=0.1), (X, Y)
    dl.fit(*arguments, metrics=metrics, **more)
    return own


def test_the_text_has_the_loss_the_rate_and_the_norms_of_looks(recorder):
    text = page.as_text(recorder)
    assert "MLP with 22 parameters, trained by SGD(lr=0.1" in text
    assert "20 steps, 20 whole epochs" in text
    row = next(line for line in text.splitlines() if re.match(r" +10 ", line))
    assert float(row.split()[1]) == pytest.approx(recorder.history.step_loss[9], rel=1e-3)
    assert float(row.split()[2]) == 0.1


def test_a_page_needs_no_network_and_escapes_names(recorder, tmp_path):
    path = recorder.save(tmp_path / "run.html")
    text = path.read_text(encoding="utf-8")
    assert "Training of 20 steps" in text
    assert ". Recorded every 5 steps.</p>" in text
    assert HOSTILE not in text
    assert not re.search(r"(?:src|href)=\"?https?:", text)
    assert recorder._repr_html_().startswith("<iframe srcdoc=")
    assert dl.viz.Recorder()._repr_html_() is None


def test_one_step_is_one_step():
    model, own = dl.nn.MLP([2, 4, 2], rng=0), dl.viz.Recorder()
    arguments = model, dl.losses.cross_entropy, dl.optim.SGD(model, lr=0.1), (X, Y)
    dl.fit(*arguments, epochs=1, record=own, progress=False)
    assert repr(own) == "Recorder(every=1)  # 2 looks at 1 step"
    assert "<h1>Training of 1 step</h1>" in page.html(own)
    assert "Recorded every step." in page.html(own)


def test_a_wrong_name_is_refused_before_anything_is_written(recorder, tmp_path):
    with pytest.raises(ValueError, match=r"must end in .html, .htm.*run.png"):
        recorder.save(tmp_path / "run.png")
    with pytest.raises(TypeError, match="path, the first argument"):
        recorder.save(3)
    assert list(tmp_path.iterdir()) == []
