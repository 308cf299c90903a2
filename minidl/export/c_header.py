"""`to_c`: a model as one header of C99, for machines without Python or an operating system."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from minidl import _files
from minidl.config import __version__
from minidl.export.graph import BINARY, UNARY, Graph, Step, graph_of
from minidl.ops import Array

NUMBERS_PER_LINE = 6

# op → the expression of an entry of its inputs a, b, and of its options; NaN stays NaN
EXPRESSIONS = {
    **{name: f"{name}f(a)" for name in ("exp", "log", "log1p", "sin", "cos", "sqrt", "tanh")},
    "negative": "-a",
    "abs": "fabsf(a)",
    "sign": "a > 0 ? 1.0f : a < 0 ? -1.0f : a",
    "sigmoid": "1.0f / (1.0f + expf(-a))",
    "relu": "a < 0 ? 0.0f : a",
    "leaky_relu": "a > 0 ? a : {slope} * a",
    "elu": "a > 0 ? a : {alpha} * expm1f(a)",
    "gelu": "0.5f * a * erfcf(-0.70710678f * a)",
    "silu": "a / (1.0f + expf(-a))",
    "softplus": "(a > 0 ? a : 0.0f) + log1pf(expf(-fabsf(a)))",
    "add": "a + b",
    "subtract": "a - b",
    "multiply": "a * b",
    "divide": "a / b",
    "power": "powf(a, b)",
    "maximum": "a >= b || a != a ? a : b",
    "minimum": "a <= b || a != a ? a : b",
    "standardize": "(a - b - c) / d",  # the mean is b + c, in two parts
}
IN_PLACE = (*UNARY, *BINARY, "softmax", "log_softmax", "standardize")

# softmax and log_softmax, after the declaration of top and sum
TOTALS = {
    "softmax": (
        "{loop} if ({x}[i] > top{k}) top{k} = {x}[i];",
        "{loop} sum{k} += {y}[i] = expf({x}[i] - top{k});",
        "{loop} {y}[i] /= sum{k};",
    ),
    "log_softmax": (
        "{loop} if ({x}[i] > top{k}) top{k} = {x}[i];",
        "{loop} sum{k} += expf({x}[i] - top{k});",
        "{loop} {y}[i] = {x}[i] - top{k} - logf(sum{k});",
    ),
}

DENSE = """\
/* y = x W + b; w holds W column by column, and b may be 0 */
static inline void {name}_dense(const float *x, int n, const float *w, const float *b,
                                float *y, int m) {{
    for (int j = 0; j < m; j++) {{
        float sum = b ? b[j] : 0.0f;
        for (int i = 0; i < n; i++)
            sum += x[i] * w[j * n + i];
        y[j] = sum;
    }}
}}
"""

# what a function in C or C++ can't be called: keywords, and what math.h defines
TAKEN = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t
    char32_t class co_await co_return co_yield compl concept const const_cast consteval constexpr
    constinit continue decltype default delete do double dynamic_cast else enum explicit export
    extern false float for friend goto if inline int long main mutable namespace new noexcept not
    not_eq nullptr operator or or_eq private protected public register reinterpret_cast requires
    restrict return short signed sizeof static static_assert static_cast std struct switch template
    this thread_local throw true try typedef typeid typename typeof typeof_unqual union unsigned
    using virtual void volatile wchar_t while xor xor_eq
    double_t float_t fpclassify isfinite isgreater isgreaterequal isinf isless islessequal
    islessgreater isnan isnormal isunordered math_errhandling signbit signgam HUGE_VAL HUGE_VALF
    HUGE_VALL INFINITY MATH_ERREXCEPT MATH_ERRNO NAN"""
MATH = """
    acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs
    fdim floor fma fmax fmin fmod frexp gamma hypot ilogb j0 j1 jn ldexp lgamma llrint llround log
    log10 log1p log2 logb lrint lround modf nan nearbyint nextafter nexttoward pow remainder remquo
    rint round scalbln scalbn sin sinh sqrt tan tanh tgamma trunc y0 y1 yn"""
RESERVED = {*TAKEN.split(), *(f"{name}{kind}" for name in MATH.split() for kind in ("", "f", "l"))}


def to_c(model: Any, path: str | PathLike[str], *, name: str = "net", example: Any = None) -> None:
    """Write a C99 header with `void net(const float *x, float *y)` for one sample.

    model    a module, which is exported in evaluation mode; a float64 model is rounded to float32
    path     a name that ends in .h
    name     of the function, and the prefix of all other names
    example  an input of shape (N, features); needed for a model whose first layer doesn't tell its
             number of inputs

    The header needs math.h, allocates nothing, computes in float and is valid C++17, too. Its first
    comment shows how to use it and how many bytes the weights and the intermediate values take,
    which are printed as well. TypeError and ValueError for a model that can't be exported, which
    name what can't be; then no file is written.

    >>> import tempfile, os
    >>> model = dl.nn.MLP([2, 16, 1], rng=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dl.export.to_c(model, os.path.join(folder, "net.h"))
    net.h: 260 bytes of flash for the weights, 64 bytes of stack for the values, and the code
    """
    target = _files.ending("to_c", path, (".h",))
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
        raise ValueError(f"to_c: name must be an identifier of C such as 'net', got {name!r}")
    if name in RESERVED:
        raise ValueError(f"to_c: name {name!r} is taken in C or C++; choose another one")
    header = _Header(graph_of("to_c", model, example), name, target.name)
    with _files.replacing("to_c", target) as temporary:
        temporary.write_bytes(header.text.encode("ascii", "backslashreplace"))
    print(f"{target.name}: {header.size}, and the code")


class _Header:
    """The text of a header, and how many bytes it takes."""

    def __init__(self, graph: Graph, name: str, file: str) -> None:
        self.name, self.widths = name, graph.widths
        self.arrays: list[str] = []
        self.flash = 0
        self.places, buffers = _places(graph)
        body = [line for i, step in enumerate(graph.steps, 1) for line in self._step(i, step)]
        self.size = (
            f"{self.flash:,} bytes of flash for the weights, {4 * sum(buffers):,} bytes of stack "
            "for the values"
        )
        inputs, outputs = graph.widths[0], graph.widths[-1]
        comment = [
            f"/* {name}: {graph.title} with {inputs} inputs and {outputs} outputs, exported by",
            f"   minidl {__version__}. For one sample:",
            "",
            f'       #include "{file}"',
            f"       float x[{inputs}], y[{outputs}];",
            f"       {name}(x, y);",
            "",
            "   x and y must not overlap. It computes in float, allocates nothing and needs math.h",
            f"   (link with -lm). {self.size}. */",
        ]
        code = [
            "#include <math.h>",
            "",
            *self.arrays,
            *([DENSE.format(name=name)] if any(s.op == "dense" for s in graph.steps) else []),
            f"static inline void {name}(const float *x, float *y) {{",
            *(f"    float t{i}[{size}];" for i, size in enumerate(buffers)),
            *(f"    {line}" for line in body),
            "}",
        ]
        # another model under the same name has another guard, and is an error of the compiler
        guard = f"{name.upper()}_{zlib.crc32(str(code).encode()):08X}_H"
        lines = [*comment, f"#ifndef {guard}", f"#define {guard}", "", *code, "", "#endif"]
        self.text = "\n".join(lines) + "\n"

    def _step(self, number: int, step: Step) -> list[str]:
        """The lines of C that compute a value from earlier ones."""
        y, n = self.places[number], step.width
        loop = f"for (int i = 0; i < {n}; i++)"
        head = [f"/* {step.place} */"] if step.place else []
        sources = [self.places[x] for x in step.values]
        if step.op == "dense":
            w, *b = step.constants
            names = [self._array(step, w.T), self._array(step, b[0]) if b else "0"]
            arguments = f"{sources[0]}, {len(w)}, {', '.join(names)}, {y}, {n}"
            return [*head, f"{self.name}_dense({arguments});"]
        if step.op == "columns":
            return [*head, f"{loop} {y}[i] = {sources[0]}[i + {step.options['start']}];"]
        if step.op == "concatenate":
            begins = itertools.accumulate([0, *(self.widths[x] for x in step.values)])
            parts = zip(step.values, sources, begins, strict=False)
            return head + [
                f"for (int i = 0; i < {self.widths[x]}; i++) {y}[i + {begin}] = {source}[i];"
                for x, source, begin in parts
            ]
        if step.op == "sum":
            count, total = self.widths[step.values[0]], f"sum{number}"
            add = f"for (int i = 0; i < {count}; i++) {total} += {sources[0]}[i];"
            return [*head, f"float {total} = 0.0f;", add, f"{y}[0] = {total};"]
        if step.op in TOTALS:
            return [
                *head,
                f"float top{number} = {sources[0]}[0], sum{number} = 0.0f;",
                *(line.format(loop=loop, x=sources[0], y=y, k=number) for line in TOTALS[step.op]),
            ]
        inputs = [self._entry(step, x) for x in self._inputs(step)]
        names = [f"{letter} = {x}" for letter, x in zip("abcd", inputs, strict=False)]
        options = {key: _literal(value) for key, value in step.options.items() if value is not None}
        expression = _clip(options) if step.op == "clip" else EXPRESSIONS[step.op].format(**options)
        entry = f"    const float {', '.join(names)};"
        return [*head, f"{loop} {{", entry, f"    {y}[i] = {expression};", "}"]

    def _inputs(self, step: Step) -> tuple[int | Array, ...]:
        """What an element-wise function takes; of a mean also what its rounding has lost."""
        if step.op != "standardize":
            return step.inputs
        mean, deviation = step.constants
        high = _single(step, mean)
        if not _single(step, deviation).all():
            raise ValueError(f"to_c: a deviation in {step.place} is too small for float32")
        return *step.values, high, mean - high, deviation

    def _entry(self, step: Step, x: int | Array) -> str:
        """Entry i of an input of an element-wise function."""
        if isinstance(x, int):
            return f"{self.places[x]}[{'i' if self.widths[x] == step.width else 0}]"
        if x.size == 1:
            return _literal(_single(step, x).item())
        return f"{self._array(step, x)}[i]"

    def _array(self, step: Step, values: Array) -> str:
        """The name of a new array of constants."""
        numbers = [_literal(x) for x in _single(step, values).ravel().tolist()]
        self.flash += 4 * len(numbers)
        name = f"{self.name}_c{len(self.arrays) + 1}"
        begins = range(0, len(numbers), NUMBERS_PER_LINE)
        rows = (", ".join(numbers[begin : begin + NUMBERS_PER_LINE]) for begin in begins)
        lines = ",\n".join(f"    {row}" for row in rows)
        self.arrays.append(f"static const float {name}[{len(numbers)}] = {{\n{lines}\n}};\n")
        return name


def _single(step: Step, values: Array) -> Array:
    """Constants in float32; ValueError if they are too large for it."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ValueError(
            f"to_c: a constant of {step.op} in {step.place or 'the model'} is too large for "
            f"float32: {np.abs(values).max():.3g}"
        )
    return rounded


def _literal(x: float) -> str:
    """A float of C99 to the bit: 0x1.8p+0f is 1.5."""
    digits, exponent = float(np.float32(x)).hex().split("p")
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}p{exponent}f"


def _clip(bounds: Mapping[str, str]) -> str:
    """An entry within the bounds that there are."""
    below = f"a < {bounds['low']} ? {bounds['low']} : " if "low" in bounds else ""
    above = f"a > {bounds['high']} ? {bounds['high']} : " if "high" in bounds else ""
    return f"{below}{above}a"


def _places(graph: Graph) -> tuple[list[str], list[int]]:
    """Where each value lies, and the sizes of the buffers t0, t1, …

    A value that is not needed any more leaves its buffer to the next one.
    """
    widths, steps = graph.widths, graph.steps
    last = {x: number for number, step in enumerate(steps, 1) for x in step.values}

    def overwritten(number: int) -> int | None:
        """An input that the result of a step may replace, entry by entry."""
        if steps[number - 1].op not in IN_PLACE:
            return None
        for x in steps[number - 1].values:
            if x and last[x] == number and widths[x] == widths[number]:
                return x
        return None

    places = ["x", *("" for _ in steps)]
    value: int | None = len(steps)
    while value is not None:  # what leads to the output entry by entry is computed in its place
        places[value], value = "y", overwritten(value)
    sizes: list[int] = []
    free: list[int] = []
    buffers: dict[int, int] = {}  # of values
    for number, width in enumerate(widths[1:], 1):
        if not places[number]:
            if (before := overwritten(number)) is not None:
                buffers[number] = buffers.pop(before)
            else:
                if not free:
                    free.append(len(sizes))
                    sizes.append(0)
                buffer = min(free, key=lambda i: (sizes[i] < width, abs(sizes[i] - width)))
                free.remove(buffer)
                buffers[number], sizes[buffer] = buffer, max(sizes[buffer], width)
            places[number] = f"t{buffers[number]}"
        free += [buffers.pop(x) for x in list(buffers) if last[x] == number]
    return places, sizes
