"""`to_onnx`: a model as a file of ONNX, built and checked by the library onnx."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from minidl import _files
from minidl.config import __version__
from minidl.export.graph import Graph, Step, graph_of

OPSET, IR_VERSION = 20, 9  # of onnx 1.15 in 2023, the first with Gelu
# op → the operator of ONNX that computes it
OPERATORS = {
    **{name: name.capitalize() for name in ("exp", "log", "sin", "cos", "sqrt", "abs", "sign")},
    **{name: name.capitalize() for name in ("tanh", "sigmoid", "elu", "gelu", "softplus", "clip")},
    "negative": "Neg",
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "power": "Pow",
    "maximum": "Max",
    "minimum": "Min",
    "softmax": "Softmax",
    "log_softmax": "LogSoftmax",
    "sum": "ReduceSum",
    "dense": "Gemm",
    "concatenate": "Concat",
    "columns": "Slice",
}
ATTRIBUTES = {  # those that minidl has as options
    "leaky_relu": {"slope": "alpha"},
    "elu": {"alpha": "alpha"},
}
ALONG_ROWS = ("softmax", "log_softmax", "concatenate")


def to_onnx(model: Any, path: str | PathLike[str], example: Any) -> None:
    """Write a file of ONNX, which onnxruntime and other runtimes read.

    model    a module, in float32 or float64; it is exported in evaluation mode
    path     a name that ends in .onnx
    example  an input of shape (N, features); its number of samples and its values don't matter

    The input "x" has shape (N, features) and the output "y" shape (N, outputs), for any N, in the
    dtype of the model. The file needs version 20 of ONNX's operators, of 2023. It says which
    version of minidl wrote it. It takes the extra minidl[onnx].

    ModuleNotFoundError without that; TypeError and ValueError for a model that can't be exported,
    which name what can't be; then no file is written.

    >>> import tempfile, os
    >>> model = dl.nn.MLP([2, 16, 1], rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dl.export.to_onnx(model, os.path.join(folder, "model.onnx"), np.zeros((1, 2)))
    """
    target = _files.ending("to_onnx", path, (".onnx",))
    content = _Builder(graph_of("to_onnx", model, example)).content()
    with _files.replacing("to_onnx", target) as temporary:
        temporary.write_bytes(content)


class _Builder:
    """The nodes and constants of a file."""

    def __init__(self, graph: Graph) -> None:
        try:
            from onnx import checker, helper, numpy_helper
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "to_onnx needs the library onnx: pip install 'minidl[onnx]'"
            ) from None
        self.graph = graph
        self.checker, self.helper, self.as_proto = checker, helper, numpy_helper.from_array
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def content(self) -> bytes:
        """The bytes of the file."""
        graph, helper = self.graph, self.helper
        kind = self._kind(graph.dtype)
        for number, step in enumerate(graph.steps, 1):
            self._step(self._value(number), step)
        x, y = (
            helper.make_tensor_value_info(name, kind, ["N", width])
            for name, width in (("x", graph.widths[0]), ("y", graph.widths[-1]))
        )
        model = helper.make_model(
            helper.make_graph(self.nodes, graph.title, [x], [y], self.constants),
            producer_name="minidl",
            producer_version=__version__,
            doc_string=f"{graph.title}, exported by minidl {__version__}",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        self.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString()
        return content

    def _value(self, number: int) -> str:
        """The name of a value."""
        if number == 0:
            return "x"
        return "y" if number == len(self.graph.steps) else f"v{number}"

    def _step(self, y: str, step: Step) -> None:
        """Add the nodes of a step, and its constants."""
        own = self.graph.dtype
        dtype = np.dtype(np.float64) if step.op == "standardize" else own
        inputs = [
            self._value(x) if isinstance(x, int) else self._constant(x.astype(dtype))
            for x in step.inputs
        ]
        if step.op == "standardize":
            x, mean, deviation = inputs
            double = self._add("Cast", [x], f"{y}_double", to=self._kind(dtype))
            centered = self._add("Sub", [double, mean], f"{y}_centered")
            scaled = self._add("Div", [centered, deviation], f"{y}_scaled")
            self._add("Cast", [scaled], y, to=self._kind(own))
        elif step.op == "silu":  # x / (1 + e⁻ˣ), since onnxruntime's Sigmoid is less accurate
            power = self._add("Exp", [self._add("Neg", inputs, f"{y}_neg")], f"{y}_exp")
            total = self._add("Add", [power, self._constant(np.ones(1, dtype))], f"{y}_sum")
            self._add("Div", [*inputs, total], y)
        elif step.op == "log1p":
            one = self._constant(np.ones(1, dtype))
            self._add("Log", [self._add("Add", [*inputs, one], f"{y}_sum")], y)
        else:
            if step.op == "clip":
                bounds = (step.options["low"], step.options["high"])
                inputs += ["" if b is None else self._constant(dtype.type(b)) for b in bounds]
            if step.op == "sum":
                inputs.append(self._constant(np.array([1])))
            if step.op == "columns":
                ends = (step.options["start"], step.options["stop"], 1)
                inputs += [self._constant(np.array([number])) for number in ends]
            names = ATTRIBUTES.get(step.op, {})
            attributes = {names[key]: value for key, value in step.options.items() if key in names}
            if step.op in ALONG_ROWS:
                attributes["axis"] = 1
            self._add(OPERATORS[step.op], inputs, y, **attributes)

    def _kind(self, dtype: np.dtype[Any]) -> int:
        """ONNX's number of a dtype."""
        kind: int = self.helper.np_dtype_to_tensor_dtype(dtype)
        return kind

    def _add(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add a node; returns the name of its output."""
        node = self.helper.make_node(operator, inputs, [output], **attributes)
        self.nodes.append(node)
        return output

    def _constant(self, values: Any) -> str:
        """Add a constant; returns its name."""
        name = f"c{len(self.constants) + 1}"
        self.constants.append(self.as_proto(np.asarray(values), name))
        return name
