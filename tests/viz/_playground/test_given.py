"""The playground on a model and data of a program: it starts with these, and trains as fit does."""

import base64

import numpy as np
import pytest

import minidl as dl
from minidl.viz._playground import given, live, views

RNG = np.random.default_rng(0)
X = RNG.normal([50, -3, 0, 1], [20, 1, 1, 5], size=(90, 4)).astype(np.float32)
LABELS = np.arange(90) % 3
VALUES = X[:, 0] * 10


def settings(model, x=X, y=LABELS, loss=None, test=0.0, names=None):
    return given._settings(model, (x, y), loss, test, names)


def page(own, batch_size=30, **run):
    playground = live.Playground(own)
    runs = [{"rule": "Adam", "lr": 0.01, "batch_size": batch_size, **run}]
    asked = {**own.as_json(), "runs": runs}
    answer = playground.start({"session": None, "settings": asked})
    return playground, answer


def test_it_trains_from_the_models_weights_as_fit_does_and_leaves_the_model():
    model = dl.nn.MLP([4, 8, 3], "tanh", rng=5)
    before = model.state_dict()
    playground, answer = page(settings(model))
    frame = {"session": answer["session"], "steps": 30, "seen": [], "detail": True}
    playground.frame(frame)
    trained = playground.sessions[answer["session"]].trainings[0].model
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    loader = dl.data.DataLoader(X, LABELS, 30, rng=0)
    optimizer = dl.optim.Adam(model, lr=0.01)
    dl.fit(model, dl.losses.cross_entropy, optimizer, loader, steps=30, progress=False)
    for p, q in zip(model.parameters(), trained.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_training_the_model_afterwards_changes_nothing_of_the_page():
    model = dl.nn.MLP([4, 8, 3], "tanh", rng=5)
    first, before = settings(model), model.state_dict()
    for p in model.parameters():
        p.data += 1
    _, answer = page(first)
    shown = [own["value"] for own in answer["runs"][0]["parameters"]]
    assert shown == [views.packed(value) for value in before.values()]


@pytest.mark.parametrize(
    ("sizes", "y", "dropout"),
    [([4, 8, 3], LABELS, 0), ([4, 6, 6, 1], VALUES, 0.25), ([4, 1], LABELS > 0, 0)],
)
def test_the_script_gives_the_same_bits(sizes, y, dropout):
    modules = list(dl.nn.MLP(sizes, "relu", rng=2))
    if dropout:
        pairs = ([m, dl.nn.Dropout(dropout)] if type(m) is dl.nn.ReLU else [m] for m in modules)
        modules = [m for pair in pairs for m in pair]
    playground, answer = page(settings(dl.nn.Sequential(*modules), y=y, test=0.3))
    session = answer["session"]
    playground.frame({"session": session, "steps": 25, "seen": [], "detail": True})
    text = playground.script({"session": session, "run": 0})["text"]
    names = {}
    exec(text, names)
    trained = playground.sessions[session].trainings[0].model
    for p, q in zip(names["model"].parameters(), trained.parameters(), strict=True):
        np.testing.assert_array_equal(p.data, q.data)


def test_the_map_is_over_two_inputs_in_their_own_units_and_the_mean_of_the_others():
    model = dl.nn.MLP([4, 8, 3], "tanh", rng=5)
    _, answer = page(settings(model))
    low, high = X.min(axis=0), X.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2
    line = np.linspace(-1.5, 1.5, views.SIDE)
    points = np.array([[a, b] for b in line[::-1] for a in line])
    x = np.tile(X.mean(axis=0), (len(points), 1))
    x[:, :2] = middle[:2] + half[:2] * points
    p = dl.softmax(dl.predict(model, x.astype(np.float32))).data
    shown = np.frombuffer(base64.b64decode(answer["runs"][0]["output"]), "u1").reshape(3, -1).T
    np.testing.assert_allclose(shown / 255, p, atol=0.004)
    drawn = np.frombuffer(base64.b64decode(answer["data"]["x"]), "<f4").reshape(-1, 2)
    np.testing.assert_allclose(drawn, ((X - middle) / half)[:, :2], atol=1e-5)
    assert answer["shown"] == 2


def test_values_are_drawn_from_minus_one_to_one():
    model = dl.nn.MLP([1, 8, 1], "tanh", rng=5)
    own = settings(model, X[:, :1], VALUES)
    _, answer = page(own)
    y = np.frombuffer(base64.b64decode(answer["data"]["y"]), "<f4")
    assert (y.min(), y.max()) == pytest.approx((-1, 1))
    center, scale = own.given.value
    output = np.frombuffer(base64.b64decode(answer["runs"][0]["output"]), "<f4")
    x = own.given.center + own.given.scale * views.grid(1)
    np.testing.assert_allclose(output, (dl.predict(model, x)[:, 0] - center) / scale, atol=1e-5)


def test_the_page_knows_the_names_and_other_data_can_still_be_chosen():
    own = settings(dl.nn.MLP([4, 3]), names=["<a>", "b", "c", "d"])
    playground, answer = page(own)
    html = playground.html(bridged=True)
    assert "<a>" not in html.partition('id="catalog"')[2].partition("</script>")[0]
    assert '"bridged":true' in html
    moons = {**answer["settings"], "data": "moons", "layers": [4]}
    changed = playground.start({"session": answer["session"], "settings": moons})
    assert changed["sizes"] == [2, 4, 2]
    with pytest.raises(ValueError, match="data must be"):
        live.Playground().start({"session": None, "settings": {"data": "given"}})


class Own(dl.nn.Module):
    def forward(self, x):
        return x


class Residual(dl.nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def frozen():
    model = dl.nn.MLP([4, 3])
    model.dense1.weight.requires_grad = False
    return model


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (Own(), {}, "must be a Sequential of Dense layers.*Got Own"),
        (dl.nn.Sequential(dl.nn.ReLU(), dl.nn.Dense(4, 3)), {}, "must be a Sequential of Dense"),
        (
            dl.nn.Sequential(dl.nn.Dense(4, 3), dl.nn.Dense(3, 3)),
            {},
            "must be a Sequential of Dense",
        ),
        (dl.nn.Sequential(dl.nn.Dense(4, 3, bias=False)), {}, "with biases"),
        (
            dl.nn.Sequential(dl.nn.Dense(4, 5), dl.nn.LeakyReLU(0.3), dl.nn.Dense(5, 3)),
            {},
            "default options",
        ),
        (Residual(dl.nn.Dense(4, 3)), {}, "Got Residual"),
        (frozen(), {}, "some are frozen"),
        (dl.nn.MLP([4, 17, 3]), {}, r"at most 16 inputs.*got \[4, 17, 3\].*Recorder"),
        (dl.nn.MLP([4, 5]), {}, "4 outputs"),
        (dl.nn.MLP([3, 3]), {}, r"x must have the shape \(n, 3\), got \(90, 4\)"),
        (dl.nn.MLP([4, 2]), {}, "labels .* from 0 to 1 for a model with 2 outputs"),
        (dl.nn.MLP([4, 3]), {"y": VALUES}, "the model must have one output, got 3"),
        (dl.nn.MLP([4, 3]), {"loss": "huber"}, "loss must be"),
        (dl.nn.MLP([4, 3]), {"names": ["a"]}, "names must be 4 texts"),
        (dl.nn.MLP([4, 3]), {"names": 5}, "names must be 4 texts.*got 5"),
        (dl.nn.MLP([4, 3]), {"names": "abcd"}, "names must be 4 texts.*got 'abcd'"),
        (dl.nn.MLP([4, 3]), {"x": X * np.nan}, "must be finite"),
        (dl.nn.MLP([4, 3]), {"x": X[:3], "y": LABELS[:3]}, "4 to 5,000 samples"),
    ],
)
def test_what_cannot_be_drawn_is_an_error_that_says_why(model, more, message):
    with pytest.raises((TypeError, ValueError), match=f"(?s){message}"):
        settings(model, **more)


@pytest.mark.parametrize(
    ("outputs", "y", "loss", "labels"),
    [
        (1, (LABELS > 0)[:, None].astype(np.float32), "binary_cross_entropy", LABELS > 0),
        (1, (LABELS > 0).astype(np.float64), "binary_cross_entropy", LABELS > 0),
        (1, (LABELS > 0)[:, None], None, LABELS > 0),
        (3, LABELS[:, None], None, LABELS),
        (3, np.eye(3)[LABELS], None, LABELS),
        (3, np.eye(3)[LABELS], "mse", LABELS),
    ],
)
def test_labels_may_be_in_a_column_or_a_column_for_each_class(outputs, y, loss, labels):
    own = settings(dl.nn.MLP([4, outputs]), y=y, loss=loss)
    assert own.given.classes == max(2, outputs)
    np.testing.assert_array_equal(own.given.y, labels)
    assert own.loss == (loss or ("cross_entropy" if outputs > 1 else "binary_cross_entropy"))


def test_weights_of_samples_are_refused():
    loader = dl.data.DataLoader(X, LABELS, sample_weight=np.ones(90))
    with pytest.raises(ValueError, match="no weights of samples"):
        given._settings(dl.nn.MLP([4, 3]), loader, None, 0.0, None)


def test_model_and_data_belong_together():
    with pytest.raises(TypeError, match="give both model and data"):
        dl.viz.playground(dl.nn.MLP([2, 2]))
    with pytest.raises(TypeError, match="names are those of the inputs of data"):
        dl.viz.playground(names=["a", "b"])


def test_an_unknown_rule_or_loss_is_named_as_its_argument():
    with pytest.raises(ValueError, match=r"optimizer must be one of 'SGD'.*got 'adam'.*'Adam'"):
        dl.viz.playground(optimizer="adam")
    with pytest.raises(ValueError, match=r"loss must be one of 'cross_entropy'.*got 'hinge'"):
        dl.viz.playground(loss="hinge")
