"""Surfaces to race on, for races and for users with a function of their own.

A surface is a function of two tensors with a domain and its global minima. Gradients come from
minidl's autograd. If the function is element-wise, it is evaluated at many points at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minidl import _checks
from minidl._format import printed
from minidl.tensor import Tensor, cos, default_dtype, exp
from minidl.viz._race import formulas

Function = Callable[[Any, Any], Any]  # of two Tensors, or of two numbers; the same comes back
Point = tuple[float, float]
Interval = tuple[float, float]
Stationary = tuple[float, float, str]  # x, y and the kind of a point with gradient 0
GRID = 101  # points along each side of the grid on which minima are searched for
NEWTON_STEPS = 60  # at a minimum such as x⁴ each step covers only a third of the distance
CANDIDATES = 200  # grid points that are refined
KINDS = {"minimum": "local minimum", "saddle": "saddle", "maximum": "maximum"}
FLAT = 1e-6  # a curvature below this fraction of the largest one counts as 0


@printed
class Surface:
    """A function f of two tensors x and y, to be minimized.

    function  (x, y) → tensor, written with minidl's functions. If it is element-wise
              (`elementwise`), it is called with arrays of points, otherwise with one point at a
              time
    x, y      the domain, an interval (low, high) for each
    start     the default start of a race; by default a quarter of the way from the upper left
              corner
    minima    the global minima, [(x, y), …]; by default they are searched for in the domain
              (`searched`)
    name      the name in tables; by default the function's name
    formula   the function as a line of text; by default put together from the formulas of its
              ops if it is element-wise

    ValueError or TypeError if the domain, the start or a minimum is invalid, if the function does
    not return one number per point, or if backward does not find its gradient, as with math.sin.

    >>> surface = dl.viz.Surface(lambda x, y: x**2 + dl.cos(y), x=(-1, 1), y=(2, 4))
    >>> surface.minima.round(4)
    array([[0.    , 3.1416]])
    >>> value, gradient = surface.at(np.array([[0.5], [3.0]]))
    >>> value.round(4), gradient.round(4)
    (array([-0.74]), array([[ 1.    ],
           [-0.1411]]))
    """

    axes = "parameter x", "parameter y"  # as pictures call them
    floor: float | None = None  # what f is measured from in pictures; None: its lowest value there

    def __init__(
        self,
        function: Function,
        x: Interval = (-2.0, 2.0),
        y: Interval = (-2.0, 2.0),
        start: Any = None,
        minima: Any = None,
        name: str = "",
        formula: str = "",
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"Surface: function must be a function of two tensors (x, y), got {function!r}"
            )
        for argument, text in (("name", name), ("formula", formula)):
            if not isinstance(text, str):
                raise TypeError(f"Surface: {argument} must be a string, got {text!r}")
        name = name or getattr(function, "__name__", "the function")
        self.function = function
        self.name = "your function" if name == "<lambda>" else name
        self.x, self.y = _interval("x", x), _interval("y", y)
        low, high = np.transpose([self.x, self.y])
        start = low + (high - low) * (0.25, 0.75) if start is None else start
        starts = self._check_points("start", start)
        if len(starts) > 1:
            raise ValueError(
                f"Surface: start must be one point, got {len(starts)}. To race from several "
                "points, pass start= to dl.viz.race."
            )
        self.start: Point = tuple(starts[0].tolist())
        self.elementwise = self._check_function()
        self.formula = formula or (self._composed_formula() if self.elementwise else "")
        self.searched = minima is None
        self.minima = self._search() if self.searched else self._check_points("minima", minima)
        self.minima.flags.writeable = False

    def __repr__(self) -> str:
        return f"Surface({self.name}, x={self.x}, y={self.y})"

    @property
    def width(self) -> float:
        """The longer side of the domain."""
        return max(high - low for low, high in (self.x, self.y))

    def contains(self, points: np.ndarray) -> np.ndarray:
        """Whether each point is in the domain: (2, …) → (…)."""
        x, y = _coordinates("contains", points)
        inside: np.ndarray = (
            (self.x[0] <= x) & (x <= self.x[1]) & (self.y[0] <= y) & (y <= self.y[1])
        )
        return inside

    def _check_points(self, name: str, points: Any) -> np.ndarray:
        """A point or a list of points as an (n, 2) array; ValueError if one is not in the domain.

        name  of the argument, for the message
        """
        try:
            array = np.array(points, np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.shape == (2,):
            array = array[None]
        if array.ndim != 2 or array.shape[1] != 2 or not len(array):
            raise ValueError(f"{name} must be a point (x, y) or a list of points, got {points!r}")
        for x, y in array:
            if not self.contains(np.array([x, y])):
                raise ValueError(
                    f"{name} ({x:g}, {y:g}) is outside the domain of {self.name}, "
                    f"x from {self.x[0]:g} to {self.x[1]:g} and y from {self.y[0]:g} to "
                    f"{self.y[1]:g}. Choose a point inside, or use a Surface with a larger domain."
                )
        return array

    def at(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f and its gradient at points: (2, …) float64 → (…) and (2, …)."""
        points = _coordinates("at", points)
        if self.elementwise:
            return self._evaluate(points)
        value, gradient = np.empty(points.shape[1:]), np.empty(points.shape)
        for index in np.ndindex(value.shape):
            point = points[(slice(None), *index)]
            value[index], gradient[(slice(None), *index)] = self._evaluate(point)
        return value, gradient

    def _evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f and its gradient from one call of the function."""
        x, y = (Tensor(coordinates, requires_grad=True) for coordinates in points)
        with default_dtype("float64"), np.errstate(all="ignore"):
            value = self.function(x, y)
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"{self.name} must return a Tensor, computed from x and y with minidl's "
                    f"functions, got {type(value).__name__}"
                )
            if value.shape != x.shape and value.size != x.size:
                raise ValueError(
                    f"{self.name} must return one number per point, got shape {value.shape}"
                )
            if value.requires_grad:
                value.backward(np.ones(value.shape, value.dtype))
            elif not (x + 0).requires_grad:
                raise RuntimeError(
                    f"{self.name} is evaluated under dl.no_grad(), but a race needs gradients. "
                    "Race outside of it."
                )
        gradient = np.zeros(points.shape)
        for axis, tensor in enumerate((x, y)):
            if tensor.grad is not None:
                gradient[axis] = tensor.grad
        return value.data.reshape(x.shape), gradient

    def grid(
        self, n: int = GRID, x: Interval | None = None, y: Interval | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """x (n,), y (n,) and f (n, n), one row per y, over the domain or a part of it."""
        n = _checks.count("Surface.grid", "n", n)
        x = self.x if x is None else _interval("x", x)
        y = self.y if y is None else _interval("y", y)
        xs, ys = np.linspace(*x, n), np.linspace(*y, n)
        return xs, ys, self.at(np.array(np.meshgrid(xs, ys)))[0]

    def _stationary(
        self, points: np.ndarray, within: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Stationary points close to points: (2, n) → positions (2, n), kinds (n,), descents.

        Descents, (n, 2, 2), are the eigenvectors of the Hessian along which f falls, each in a row,
        and zeros.

        within  the largest distance of a stationary point from its starting point

        They are found by Newton's method with a Hessian from central differences of the gradient.
        The kind is "minimum", "saddle" or "maximum", by the signs of the Hessian's eigenvalues;
        if an eigenvalue is 0, f at the distance `within` along its eigenvector decides. The kind
        is "flat" if both the gradient and the Hessian are 0, and "" if no point with gradient 0
        is found.
        """
        position, h = np.array(points, np.float64), 1e-5 * self.width
        offsets = h * np.array([[0, 1, -1, 0, 0], [0, 0, 0, 1, -1.0]])
        near = np.full(position.shape[1:], True)
        with np.errstate(all="ignore"):
            for _ in range(NEWTON_STEPS):
                g = self.at(position[:, :, None] + offsets[:, None])[1]
                hessian = np.stack([g[..., 1] - g[..., 2], g[..., 3] - g[..., 4]]) / (2 * h)
                hessian = np.transpose(hessian + hessian.swapaxes(0, 1)) / 2
                finite = np.isfinite(hessian).all((1, 2)) & np.isfinite(g[..., 0]).all(0)
                hessian[~finite] = 0
                gradient = np.where(finite, g[..., 0], np.inf)
                inverse = np.linalg.pinv(hessian, rcond=1e-7, hermitian=True)
                step = np.einsum("nij,jn->in", inverse, np.where(finite, gradient, 0))
                near &= np.hypot(*(position - step - points)) <= within
                position -= np.where(near, step, 0)
                if (np.hypot(*step)[near] <= 1e-12 * self.width).all():
                    break
            eigenvalues, eigenvectors = np.linalg.eigh(hessian)
            scale = np.abs(eigenvalues).max(1)
            # the part of the gradient in the Hessian's null space, which no step removes
            residual = gradient - np.einsum("nij,jn->in", hessian, step)
            found = near & finite & (scale > 0) & (np.hypot(*step) <= 1e-6 * self.width)
            found &= np.hypot(*residual) <= 1e-9 * scale * self.width
            f = self.at(position)[0]
            rises, falls = np.full(finite.shape, False), np.full(finite.shape, False)
            descents = np.zeros((*finite.shape, 2, 2))
            for i in (0, 1):
                offset = within * eigenvectors[:, :, i].T
                sides = np.stack([self.at(position + offset)[0], self.at(position - offset)[0]]) - f
                flat = np.abs(eigenvalues[:, i]) <= FLAT * scale
                rounding = 1e-14 * (np.abs(f) + np.abs(sides).max(0))
                rises |= np.where(flat, (sides > rounding).any(0), eigenvalues[:, i] > 0)
                down = np.where(flat, (sides < -rounding).any(0), eigenvalues[:, i] < 0)
                descents[down, i] = eigenvectors[down, :, i]
                falls |= down
        descents[~found] = 0
        level = near & (scale == 0) & (gradient == 0).all(0)
        kinds = np.select(
            [level, ~found, rises & falls, falls], ["flat", "", "saddle", "maximum"], "minimum"
        )
        return position, kinds, descents

    def stationary_points(self, x: Interval, y: Interval) -> list[Stationary]:
        """The points with gradient 0 inside x and y, (x, y, kind), without the global minima.

        The kind is "local minimum", "saddle" or "maximum". Newton's method starts where |∇f| on a
        grid is lower than at the neighbours. Flat parts and valleys have no such points.
        """
        x, y = _interval("x", x), _interval("y", y)
        xs, ys = np.linspace(*x, GRID), np.linspace(*y, GRID)
        points = np.array(np.meshgrid(xs, ys))
        with np.errstate(all="ignore"):
            slope = np.hypot(*self.at(points)[1])
        rows, columns = np.nonzero(_lower_than_neighbours(slope))
        cell = max(xs[1] - xs[0], ys[1] - ys[0])
        found, kinds, _ = self._stationary(points[:, rows, columns], 2 * cell)
        taken, named = [*self.minima], []
        for point, kind in zip(found.T, kinds, strict=True):
            inside = x[0] <= point[0] <= x[1] and y[0] <= point[1] <= y[1]
            if kind in KINDS and inside and all(np.hypot(*(point - q)) > cell for q in taken):
                taken.append(point)
                named.append((*point.tolist(), KINDS[kind]))
        return named

    def _check_function(self) -> bool:
        """Whether the function is element-wise; ValueError if backward misses its gradient."""
        points, h = self._inner_points(), 1e-6 * self.width
        single = [self._evaluate(point) for point in points.T]
        for point, (value, gradient) in zip(points.T, single, strict=True):
            for axis, name in enumerate("xy"):
                forward, backward = point.copy(), point.copy()
                forward[axis] += h
                backward[axis] -= h
                rise = self._evaluate(forward)[0] - self._evaluate(backward)[0]
                difference = float(rise) / (2 * h)
                error = abs(difference - gradient[axis])
                rounding = 1e-9 * (abs(float(value)) + 1) / h
                if error > 1e-3 * abs(difference) + rounding:
                    raise ValueError(
                        f"{self.name}: at ({point[0]:.4g}, {point[1]:.4g}) its derivative with "
                        f"respect to {name} is {difference:.4g} by central differences, but "
                        f"backward finds {gradient[axis]:.4g}. Use minidl's functions only, such "
                        "as dl.sin in place of math.sin."
                    )
        try:
            value, gradient = self._evaluate(points)
        except Exception:  # a function of one point may fail in any way when called with arrays
            return False
        return all(
            np.allclose(value[i], v, 1e-12, 0, True)
            and np.allclose(gradient[:, i], g, 1e-9, 1e-12, True)
            for i, (v, g) in enumerate(single)
        )

    def _composed_formula(self) -> str:
        with default_dtype("float64"), np.errstate(all="ignore"):
            return formulas.formula(self.function, self._inner_points())

    def _inner_points(self) -> np.ndarray:
        """Three points inside the domain, (2, 3)."""
        low, high = np.transpose([self.x, self.y])
        points: np.ndarray = low + (high - low) * np.random.default_rng(0).random((2, 3)).T
        return points.T

    def _search(self) -> np.ndarray:
        """The global minima inside the domain, (n, 2): the lowest points of a grid, refined.

        A grid point that can't be refined is taken as it is, for example at a kink, unless the
        surface keeps falling from there to the edge of the domain. If such a point is the lowest,
        there is no minimum.
        """
        x, y, z = self.grid()
        rows, columns = np.nonzero(_lower_than_neighbours(z))
        order = np.argsort(z[rows, columns], kind="stable")[:CANDIDATES]
        if not order.size:
            return np.empty((0, 2))
        rows, columns = rows[order], columns[order]
        coarse, value = np.stack([x[columns], y[rows]]), z[rows, columns]
        edge = (rows % (GRID - 1) == 0) | (columns % (GRID - 1) == 0)
        fine, kinds, _ = self._stationary(coarse, self.width)
        refined = np.where(np.isfinite(fine).all(0), self.at(fine)[0], np.inf)
        lower = (kinds == "minimum") & (refined <= value)
        refinable, falls = lower & self.contains(fine), lower | edge
        points = np.where(refinable, fine, coarse).T
        value = np.where(refinable, refined, value)
        close = value.min() + 1e-9 * (np.max(z[np.isfinite(z)]) - value.min())
        distinct: list[np.ndarray] = []
        for point in points[(value <= close) & (refinable | ~falls)]:
            if all(np.hypot(*(point - other)) > self.width / GRID for other in distinct):
                distinct.append(point)
        return np.reshape(distinct, (-1, 2))


def _lower_than_neighbours(z: np.ndarray) -> np.ndarray:
    """Where a finite entry of a matrix is no higher than its eight neighbours."""
    padded = np.pad(np.where(np.isfinite(z), z, np.inf), 1, constant_values=np.inf)
    n, m = z.shape
    shifts = [(i, j) for i in range(3) for j in range(3) if (i, j) != (1, 1)]
    lowest = np.min([padded[i : n + i, j : m + j] for i, j in shifts], 0)
    lower: np.ndarray = (z <= lowest) & np.isfinite(z)
    return lower


def _coordinates(owner: str, points: Any) -> np.ndarray:
    """Points as an array (2, …) of their coordinates."""
    if not (isinstance(points, np.ndarray) and points.dtype.kind in "fiu" and points.ndim):
        raise TypeError(
            f"Surface.{owner}: points must be an array of numbers of shape (2, ...), got {points!r}"
        )
    if len(points) != 2:
        raise ValueError(
            f"Surface.{owner}: points must have shape (2, ...), x and y, got {points.shape}"
        )
    return points


def _interval(name: str, value: Any) -> Interval:
    expected = f"Surface: {name} must be two numbers (low, high), low < high, got {value!r}"
    listed = isinstance(value, Sequence | np.ndarray) and not isinstance(value, str)
    if not listed or getattr(value, "ndim", 1) != 1 or len(value) != 2:
        raise TypeError(expected)
    low, high = (_checks.number("Surface", name, bound, -math.inf) for bound in value)
    if not low < high:
        raise ValueError(expected)
    return low, high


def heights(f: np.ndarray, lowest: float) -> tuple[np.ndarray, float]:
    """Heights as pictures show them, log(1 + (f − lowest) / scale), and the scale.

    The scale is the 3 % quantile of f − lowest, so that valleys remain visible beside steep walls.
    NaN where f is not finite.
    """
    above = np.maximum(np.where(np.isfinite(f), f, np.nan) - lowest, 0)
    scale = float(np.nanquantile(above, 0.03)) or float(np.nanmax(above)) or 1.0
    return np.log1p(above / scale), scale


# --- named surfaces -----------------------------------------------------------------------------


def _bowl(x: Any, y: Any) -> Any:
    return (x**2 + 2 * y**2) / 2


def _ravine(x: Any, y: Any) -> Any:
    return (x**2 + 40 * y**2) / 2


def _rosenbrock(x: Any, y: Any) -> Any:
    valley = y - x**2
    return (1 - x) ** 2 + 100 * valley**2


def _beale(x: Any, y: Any) -> Any:
    y2 = y**2
    terms = (1.5 - x + x * y, 2.25 - x + x * y2, 2.625 - x + x * (y2 * y))
    return terms[0] ** 2 + terms[1] ** 2 + terms[2] ** 2


def _rastrigin(x: Any, y: Any) -> Any:
    tau = 2 * math.pi
    return 20 + x**2 + y**2 - 10 * (cos(tau * x) + cos(tau * y))


def _styblinski_tang(x: Any, y: Any) -> Any:
    return sum((t2**2 - 16 * t2 + 5 * t) / 2 for t, t2 in ((x, x**2), (y, y**2)))


def _two_wells(x: Any, y: Any) -> Any:
    x2 = x**2
    return x2**2 - 2 * x2 + x - (x2 * x) / 3 + y**2 + 5 / 3


def _himmelblau(x: Any, y: Any) -> Any:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _saddle(x: Any, y: Any) -> Any:
    y2 = y**2
    return x**2 / 2 - y2 / 2 + y2**2 / 4


def _plateau(x: Any, y: Any) -> Any:
    return 1 - exp(-(x**2 + y**2) / 2)


_HIMMELBLAU = [
    (3, 2),
    (-2.8051180869527448, 3.1313125182505730),
    (-3.7793102533777469, -3.2831859912861694),
    (3.5844283403304918, -1.8481265269644036),
]
_STYBLINSKI_TANG = -2.9035340277711770951

SURFACES = {
    surface.name: surface
    for surface in (
        Surface(
            _bowl,
            x=(-4, 4),
            y=(-3, 3),
            start=(-3.4, 2.4),
            minima=[(0, 0)],
            name="bowl",
            formula="f = (x² + 2 y²) / 2",
        ),
        Surface(
            _ravine,
            x=(-4, 4),
            y=(-1.5, 1.5),
            start=(-3.6, 1),
            minima=[(0, 0)],
            name="ravine",
            formula="f = (x² + 40 y²) / 2",
        ),
        Surface(
            _rosenbrock,
            x=(-2, 2),
            y=(-1, 3),
            start=(-1.2, 1),
            minima=[(1, 1)],
            name="rosenbrock",
            formula="f = (1 − x)² + 100 (y − x²)²",
        ),
        Surface(
            _beale,
            x=(-4.5, 4.5),
            y=(-4.5, 4.5),
            start=(1, 1.5),
            minima=[(3, 0.5)],
            name="beale",
            formula="f = (1.5 − x + x y)² + (2.25 − x + x y²)² + (2.625 − x + x y³)²",
        ),
        Surface(
            _himmelblau,
            x=(-5, 5),
            y=(-5, 5),
            start=(-0.5, -1.5),
            minima=_HIMMELBLAU,
            name="himmelblau",
            formula="f = (x² + y − 11)² + (x + y² − 7)²",
        ),
        Surface(
            _rastrigin,
            x=(-5.12, 5.12),
            y=(-5.12, 5.12),
            start=(-3.4, 2.6),
            minima=[(0, 0)],
            name="rastrigin",
            formula="f = 20 + x² + y² − 10 (cos 2πx + cos 2πy)",
        ),
        Surface(
            _styblinski_tang,
            x=(-5, 5),
            y=(-5, 5),
            start=(4, -0.5),
            minima=[(_STYBLINSKI_TANG, _STYBLINSKI_TANG)],
            name="styblinski-tang",
            formula="f = (x⁴ − 16 x² + 5 x + y⁴ − 16 y² + 5 y) / 2",
        ),
        Surface(
            _saddle,
            x=(-2, 2),
            y=(-2, 2),
            start=(-1.6, 0.01),
            minima=[(0, -1), (0, 1)],
            name="saddle",
            formula="f = x² / 2 − y² / 2 + y⁴ / 4",
        ),
        Surface(
            _two_wells,
            x=(-2, 2),
            y=(-1.5, 1.5),
            start=(1.8, 1),
            minima=[(-1, 0)],
            name="two-wells",
            formula="f = x⁴ − x³ / 3 − 2 x² + x + y² + 5 / 3",
        ),
        Surface(
            _plateau,
            x=(-5, 5),
            y=(-5, 5),
            start=(-2.6, 2.2),
            minima=[(0, 0)],
            name="plateau",
            formula="f = 1 − e^(−(x² + y²) / 2)",
        ),
    )
}


def as_surface(given: str | Surface | Function) -> Surface:
    """The surface with that name, the Surface itself, or a Surface of that function.

    >>> from minidl.viz._race import surfaces
    >>> surfaces.as_surface("beale").minima
    array([[3. , 0.5]])
    """
    if isinstance(given, Surface):
        return given
    if callable(given) and not isinstance(given, type):
        return Surface(given)
    name = str(given).lower().replace("_", "-").replace(" ", "-")
    if isinstance(given, str) and name in SURFACES:
        return SURFACES[name]
    raise ValueError(
        f"there is no surface {given!r}.{_checks.nearest(name, SURFACES)} There are "
        f"{', '.join(SURFACES)}; a function of two tensors can be given instead"
    )
