"""The summary of a model: every number of its table counted by hand."""

import io
import re
import sys

import numpy as np
import pytest

import minidl as dl
from minidl import nn


class Norm(nn.Module):
    def __init__(self, n, momentum=0.1):
        self.momentum = momentum
        self.weight = dl.Tensor(np.ones(n), requires_grad=True)
        self.buffer("mean", np.zeros(n))
        self.buffer("count", np.array(0))


class Block(nn.Module):
    def __init__(self, depth):
        self.norm = Norm(3)
        self.layers = [nn.Dense(3, 3, rng=0), {"act": nn.ReLU()}]
        if depth:
            self.block = Block(depth - 1)


def test_each_module_has_a_line_with_its_own_parameters_and_the_last_lines_have_the_totals():
    model = nn.MLP([2, 16, 16, 1], rng=0)
    model.dense2.weight.requires_grad = False
    assert model.summary().splitlines() == [
        "        module          trainable  frozen  shapes",
        "        MLP",
        "dense1  Dense(2 → 16)          48          weight (2, 16), bias (16,)",
        "relu1   ReLU()",
        "dense2  Dense(16 → 16)         16     256  weight (16, 16), bias (16,)",
        "relu2   ReLU()",
        "dense3  Dense(16 → 1)          17          weight (16, 1), bias (1,)",
        "81 trainable, 256 frozen, 0 in buffers",
        f"float32, {4 * 337:,} bytes",
    ]


def test_a_model_of_millions_is_summed_in_columns_to_the_right():
    with dl.default_dtype("float64"):
        model = nn.Sequential(nn.Dense(1000, 1200, bias=False, rng=0), nn.Dense(1200, 1, rng=0))
    rows = model.summary().splitlines()
    assert rows[2].index("1,200,000") + 9 == rows[3].index("1,201") + 5 == rows[0].index("  shapes")
    assert rows[4:] == ["1,201,201 trainable, 0 frozen, 0 in buffers", "float64, 9,609,608 bytes"]


def test_buffers_have_a_column_and_options_stand_behind_the_class():
    model = nn.Sequential(nn.Dense(2, 3, rng=0), Norm(3, momentum=0.5))
    assert model.summary().splitlines()[3:] == [
        "norm1   Norm(momentum=0.5)          3        4  weight (3,), mean (3,), count ()",
        "12 trainable, 0 frozen, 4 in buffers",
        f"float32 and float64 and int64, {4 * 9 + 8 * (3 + 4)} bytes",
    ]


def test_tied_parameters_and_shared_modules_are_counted_once():
    model = nn.Sequential(nn.Dense(3, 3, rng=0), nn.Dense(3, 3, rng=1))
    model.again = model.dense2
    model.weights = [model.dense2.bias]
    model.dense2.weight = model.dense1.weight
    rows = model.summary().splitlines()
    assert "weights.0 (3,)" in rows[1]
    assert rows[3].endswith("weight = dense1.weight, bias = weights.0")
    assert len(rows) == 6
    assert rows[-2:] == ["15 trainable, 0 frozen, 0 in buffers", "float32, 60 bytes"]
    assert sum(p.size for p in model.parameters()) == 15


def test_modules_inside_modules_are_indented_and_named_as_there():
    rows = Block(2).summary().splitlines()[1:-2]
    names = [match[0] for row in rows if (match := re.match(r" {,10}\S+", row))]
    assert names[:4] == ["norm", "layers.0", "layers.1.act", "block"]
    assert [n for n in names if "act" in n] == [2 * k * " " + "layers.1.act" for k in range(3)]


def test_a_deep_model_fits_80_columns_and_names_every_shape():
    model = Block(4)
    model.norm.comment = "a long text, for which a console has no room"
    text = model.summary()
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("weight (3, 3)") == text.count("bias (3,)") == text.count("count ()") == 5
    assert re.search(r"Norm\(momentum=0\.1, [\w=' ]*\.\.\. ", text)
    assert text.splitlines()[-2] == "75 trainable, 0 frozen, 20 in buffers"


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(nn.Tanh())])
def test_a_model_without_parameters_has_a_summary(model):
    header, first, *_, totals, memory = model.summary().splitlines()
    assert header.split() == ["module", "trainable", "shapes"]
    assert first.strip() in ("ReLU()", "Sequential")
    assert (totals, memory) == ("0 trainable, 0 frozen, 0 in buffers", "0 bytes")


def test_an_ascii_console_gets_an_aligned_table(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    rows = nn.MLP([2, 4, 1], rng=0).summary().splitlines()
    assert rows[2] == "dense1  Dense(2 -> 4)         12  weight (2, 4), bias (4,)"
    assert {row.index("weight") for row in rows if "weight" in row} == {rows[0].index("shapes")}


def test_a_prompt_shows_the_lines_and_the_model_is_as_before():
    model = nn.Dense(2, 2, rng=0)
    model.eval()
    model.weight.name = "mine"
    text = model.summary()
    assert isinstance(text, str)
    assert repr(text) == str(text)
    assert (model.training, model.weight.name) == (False, "mine")
