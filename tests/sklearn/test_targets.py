"""What estimators make of y, against scikit-learn's binarizer, scores and softmax by hand."""

import numpy as np
import pytest

pytest.importorskip("sklearn.base")
from scipy.special import expit, softmax
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer

from minidl.sklearn.targets import Labels, Values

TWO, THREE = np.array(["b", "a", "b", "b"]), np.array([30, 10, 20, 10])
SEVERAL = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]])
LOGITS = np.array([[2.0, -1.0, 0.5], [-800.0, 900.0, 1.0], [0.0, -3.0, 0.1], [5.0, 5.0, -5.0]])


def labels(y, *, classes=None, logistic=True):
    return Labels("Own", y, classes, logistic)


@pytest.mark.parametrize("y", [TWO, SEVERAL])
def test_logistic_targets_are_those_of_a_label_binarizer(y):
    found = labels(y).encode("Own", y, "float32")
    assert found.dtype == np.float32
    assert (found == LabelBinarizer().fit_transform(y)).all()


def test_other_targets_are_the_numbers_of_the_sorted_classes():
    assert labels(THREE).encode("Own", THREE, "float32").tolist() == [2, 0, 1, 0]
    assert labels(TWO, logistic=False).encode("Own", TWO, "float32").tolist() == [1, 0, 1, 1]
    assert (labels(THREE).outputs, labels(TWO).outputs, labels(SEVERAL).outputs) == (3, 1, 3)
    assert labels(TWO, logistic=False).outputs == 2


def test_classes_that_are_given_are_sorted_and_may_lack_samples():
    own = labels(THREE, classes=[40, 10, 20, 30])
    assert own.classes.tolist() == [10, 20, 30, 40]
    assert own.encode("Own", np.array([40, 20]), "float32").tolist() == [3, 1]


def test_predictions_are_the_likeliest_labels():
    assert labels(THREE).decode(LOGITS).tolist() == [10, 20, 30, 10]
    assert labels(TWO).decode(LOGITS[:, :1]).tolist() == ["b", "a", "a", "b"]
    assert labels(TWO, logistic=False).decode(LOGITS[:, :2]).tolist() == ["a", "b", "a", "a"]
    assert (labels(SEVERAL).decode(LOGITS) == (LOGITS > 0)).all()


def test_probabilities_are_those_of_scipy():
    assert np.allclose(labels(THREE).probabilities(LOGITS), softmax(LOGITS, axis=1))
    assert np.allclose(labels(SEVERAL).probabilities(LOGITS), expit(LOGITS))
    pair = np.hstack([expit(-LOGITS[:, :1]), expit(LOGITS[:, :1])])
    assert np.allclose(labels(TWO).probabilities(LOGITS[:, :1]), pair)
    two = LOGITS[:, :2]
    assert np.allclose(labels(TWO, logistic=False).probabilities(two), softmax(two, axis=1))


def test_small_probabilities_keep_their_digits():
    pair = labels(TWO).probabilities(np.array([[-50.0], [50.0]]))
    assert np.allclose(pair[[0, 1], [1, 0]], np.exp(-50), rtol=1e-14, atol=0)


@pytest.mark.parametrize("weight", [None, np.array([1.0, 2.0, 0.5, 3.0])])
@pytest.mark.parametrize("y", [TWO, THREE, SEVERAL])
def test_the_score_of_labels_is_the_accuracy_of_the_predictions(y, weight):
    own = labels(y)
    outputs = LOGITS[:, : own.outputs]
    expected = accuracy_score(y, own.decode(outputs), sample_weight=weight)
    assert own.score(own.encode("Own", y, "float64"), outputs, weight) == expected


@pytest.mark.parametrize("shape", [(4,), (4, 1), (4, 3)])
def test_numbers_come_back_in_the_shape_of_y_and_score_r2(shape):
    y = np.arange(np.prod(shape)).reshape(shape) % 5
    own = Values(y)
    encoded = own.encode("Own", y, "float32")
    assert encoded.shape == (4, own.outputs)
    assert (own.decode(encoded) == y).all()
    assert own.decode(encoded).shape == shape
    outputs = encoded + np.array([[0.1], [-0.2], [0.0], [0.3]])
    assert own.score(encoded, outputs) == r2_score(encoded, outputs)


def test_targets_that_do_not_fit_the_network_are_refused():
    with pytest.raises(ValueError, match=r"Own: y has labels \[50\], which are not among its cl"):
        labels(THREE).encode("Own", np.array([50, 10]), "float32")
    with pytest.raises(ValueError, match="Own: y must be a matrix of 0 and 1 with 3 labels"):
        labels(SEVERAL).encode("Own", SEVERAL[:, :2], "float32")
    with pytest.raises(ValueError, match="Own: y must be a matrix of 0 and 1 with 3 labels"):
        labels(SEVERAL).encode("Own", THREE, "float32")
    with pytest.raises(ValueError, match="Own: y has 3 outputs, but the network was made for 1"):
        Values(THREE).encode("Own", SEVERAL, "float32")
    with pytest.raises(ValueError, match=r"Own needs samples of at least 2 classes.* class, 0$"):
        labels(np.zeros(3, int))
