"""The update rules: one typed loop each, in place, in the letters of the papers.

A rule is called with lists, the parameters w, the gradients g of the loss by them and its states,
and with its constants; one call updates all parameters. Its loop runs over n entries of one of
them. Constants arrive as float64 and are rounded once to the arrays' type. An entry depends on
nothing but itself: the bits do not depend on the number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport fabs, pow, sqrt, sqrtf
from libc.stdlib cimport free, malloc

from minidl._kernels.arrays cimport (
    alike, data, import_numpy, itemsize, readable, size_of, writable
)
from minidl._kernels.system cimport cloned, threads

import_numpy()

cdef enum:
    THREADED = 2097152  # entries; below this, starting the threads costs more than they save
    ARRAYS = 5  # of one parameter at most: itself, its gradient and three states
    CONSTANTS = 10  # of one rule at most
    LONG = 4096  # entries, from which on it pays to begin at a cache line
    BYTES = 64  # in a cache line, and
    LINE = 16  # float32 entries

threaded = THREADED

ctypedef void (*Loop)(void **a, Py_ssize_t n, const double *c) noexcept nogil


cdef class Rule:
    """A rule's loop, for float32 and float64, to be called with lists of arrays and constants."""

    cdef Loop singles, doubles
    cdef readonly tuple arrays, constants  # their names; one with a ? may be left out

    def __call__(self, tuple lists, *constants):
        """Update parameters: lists are w, g and the states, None for one that is left out.

        ValueError, and nothing is changed, unless all arrays are C-contiguous, those of one
        parameter have one shape and one dtype, float32 or float64, and all but g are writable.
        """
        cdef Py_ssize_t width = len(self.arrays), count, i, k, part, parts, total = 0
        cdef double c[CONSTANTS]
        cdef Parameter *all
        cdef list w
        if len(lists) != width or len(constants) != len(self.constants):
            raise TypeError(f"expected {self.arrays} and {self.constants}")
        for k in range(len(constants)):
            c[k] = constants[k]
        w = lists[0]
        count = len(w)
        all = <Parameter *> malloc((count + 1) * sizeof(Parameter))
        if all == NULL:
            raise MemoryError
        try:
            for k in range(width):
                collect(lists[k], self.arrays[k], k, w, all)
            for i in range(count):
                total += all[i].n
            parts = threads() if total >= THREADED else 1
            if parts == 1:
                with nogil:
                    for i in range(count):
                        update(&all[i], 0, 1, self.singles, self.doubles, c)
            else:
                for part in prange(parts, nogil=True, schedule="static", chunksize=1,
                                   num_threads=parts):
                    for i in range(count):
                        update(&all[i], part, parts, self.singles, self.doubles, c)
        finally:
            free(all)


cdef struct Parameter:
    char *a[ARRAYS]  # where its arrays begin, NULL for one that is left out
    Py_ssize_t n  # entries in each
    Py_ssize_t itemsize


cdef int collect(list arrays, str name, Py_ssize_t k, list w, Parameter *all) except -1:
    """Note where the k-th array of each parameter begins, after a check against the parameter."""
    cdef Py_ssize_t i
    if arrays is None and name.endswith("?"):
        for i in range(len(w)):
            all[i].a[k] = NULL
        return 0
    if arrays is None or len(arrays) != len(w):
        raise ValueError(f"{name} must hold {len(w)} arrays, one for each parameter, got {arrays}")
    for i in range(len(w)):
        if not fits(w[i], arrays[i], written=k != 1):
            raise ValueError(
                f"{name}[{i}] must be a C-contiguous array of w's shape and dtype, float32 or "
                f"float64, and writable unless it is g; got {arrays[i]!r:.200}"
            )
        all[i].a[k] = data(arrays[i])
        all[i].n, all[i].itemsize = size_of(w[i]), itemsize(w[i])
    return 0


cdef void update(Parameter *p, Py_ssize_t part, Py_ssize_t parts, Loop singles, Loop doubles,
                 const double *c) noexcept nogil:
    """Run a rule's loop over one part of so many of a parameter.

    In long arrays parts begin where a cache line of w does, as those of g and the states do, too:
    the system gives out large arrays at equal places in a page. Vectors across lines cost 15 %.
    """
    cdef Py_ssize_t head = 0, lines
    if p.n >= LONG:
        head = (-<Py_ssize_t> p.a[0] & (BYTES - 1)) // p.itemsize
    lines = (p.n - head) // LINE
    if head and part == 0:
        run(p, 0, head, singles, doubles, c)
    run(p, head + lines * part // parts * LINE,
        p.n if part == parts - 1 else head + lines * (part + 1) // parts * LINE,
        singles, doubles, c)


cdef void run(Parameter *p, Py_ssize_t begin, Py_ssize_t end, Loop singles, Loop doubles,
              const double *c) noexcept nogil:
    cdef Py_ssize_t k
    cdef void *a[ARRAYS]
    for k in range(ARRAYS):
        a[k] = p.a[k] + begin * p.itemsize if p.a[k] != NULL else NULL
    if p.itemsize == sizeof(float):
        singles(a, end - begin, c)
    else:
        doubles(a, end - begin, c)


cdef inline bint fits(object w, object array, bint written) noexcept:
    """Whether an array is as a rule asks, beside its parameter w."""
    return readable(w) and readable(array) and alike(w, array) and (not written or writable(array))


def ready(list w, list g):
    """Whether a rule would take these parameters and their gradients."""
    cdef Py_ssize_t i
    for i in range(len(w)):
        if not (fits(w[i], w[i], written=True) and fits(w[i], g[i], written=False)):
            return False
    return True


cdef Rule rule(str arrays, str constants, Loop singles, Loop doubles):
    cdef Rule made = Rule()
    made.arrays, made.constants = tuple(arrays.split()), tuple(constants.split())
    made.singles, made.doubles = singles, doubles
    return made


cdef inline floating descent(floating g, floating w, floating sign, floating decay) noexcept nogil:
    """The direction to descend: the gradient, flipped to maximize, with L2 weight decay added."""
    return sign * g + decay * w


cdef inline floating stepped(floating w, floating eta, floating d) noexcept nogil:
    """w − ηd; just w where η = 0, even if d has overflowed."""
    return w - eta * d if eta != 0 else w


cdef inline void forget(floating *v, Py_ssize_t n, floating keep) noexcept nogil:
    """v ← 0 if nothing of it is to be kept, as 0 · v would be NaN where v has overflowed."""
    cdef Py_ssize_t i
    if keep == 0:
        for i in range(n):
            v[i] = 0


cdef inline floating root(floating x) noexcept nogil:
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline floating damped_root(floating x, floating eps, bint eps_inside) noexcept nogil:
    """√(x + ε), or √x + ε."""
    return root(x + eps) if eps_inside else root(x) + eps


cdef inline floating square_sum(floating n, floating d) noexcept nogil:
    """n + d², or the largest number where that overflows."""
    cdef floating total = n + d * d, largest = FLT_MAX if floating is float else DBL_MAX
    return largest if total > largest else total


cdef cloned sgd_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """b ← μb + (1 − τ)g (b ← g at first);  d = g + μb if nesterov else b;  w ← w − ηd.

    Without momentum b is None and d = g.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *b = a[2]
    cdef floating eta = <floating> c[0], mu = <floating> c[1], fresh = <floating> (1 - c[2])
    cdef bint first = c[3] != 0, nesterov = c[4] != 0
    cdef floating decay = <floating> c[5], sign = -1 if c[6] else 1, d
    cdef Py_ssize_t i
    if b == NULL:
        for i in range(n):
            w[i] = stepped(w[i], eta, descent(g[i], w[i], sign, decay))
        return
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        b[i] = d if first else mu * b[i] + fresh * d
        w[i] = stepped(w[i], eta, d + mu * b[i] if nesterov else b[i])


sgd = rule(
    "w g b?",
    "lr momentum dampening first nesterov weight_decay maximize",
    <Loop> sgd_loop[float], <Loop> sgd_loop[double],
)


cdef cloned momentum_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """v ← βv + (1 − β)g;  w ← w − ηv."""
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *v = a[2]
    cdef floating eta = <floating> c[0], keep = <floating> c[1], fresh = <floating> (1 - c[1])
    cdef floating decay = <floating> c[2], sign = -1 if c[3] else 1
    cdef Py_ssize_t i
    for i in range(n):
        v[i] = keep * v[i] + fresh * descent(g[i], w[i], sign, decay)
        w[i] = stepped(w[i], eta, v[i])


momentum = rule(
    "w g v",
    "lr beta weight_decay maximize",
    <Loop> momentum_loop[float], <Loop> momentum_loop[double],
)


cdef cloned nag_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """v ← βv + (1 − β)g;  w ← w − η(βv + (1 − β)g)."""
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *v = a[2]
    cdef floating eta = <floating> c[0], keep = <floating> c[1], fresh = <floating> (1 - c[1])
    cdef floating decay = <floating> c[2], sign = -1 if c[3] else 1, push
    cdef Py_ssize_t i
    for i in range(n):
        push = fresh * descent(g[i], w[i], sign, decay)
        v[i] = keep * v[i] + push
        w[i] = stepped(w[i], eta, keep * v[i] + push)


nag = rule(
    "w g v",
    "lr beta weight_decay maximize",
    <Loop> nag_loop[float], <Loop> nag_loop[double],
)


cdef cloned adagrad_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """G ← G + g²;  w ← w − ηg/√(G + ε), or ηg/(√G + ε).
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *G = a[2]
    cdef floating eta = <floating> c[0], e = <floating> c[1]
    cdef bint eps_inside_sqrt = c[2] != 0
    cdef floating decay = <floating> c[3], sign = -1 if c[4] else 1, d
    cdef Py_ssize_t i
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        G[i] = G[i] + d * d
        w[i] = stepped(w[i], eta, d / damped_root(G[i], e, eps_inside_sqrt))


adagrad = rule(
    "w g G",
    "lr eps eps_inside_sqrt weight_decay maximize",
    <Loop> adagrad_loop[float], <Loop> adagrad_loop[double],
)


cdef inline void scale_by_root(floating **a, Py_ssize_t n, const double *c, bint centered,
                               bint averaged, bint eps_inside_sqrt) noexcept nogil:
    """RMSprop in one of its forms; each gets a loop of its own, free of branches."""
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *G = a[2]
    cdef floating *g_mean = a[3]
    cdef floating *b = a[4]
    cdef floating eta = <floating> c[0], keep = <floating> c[1], fresh = <floating> (1 - c[1])
    cdef floating e = <floating> c[2], mu = <floating> c[3], d, s, spread
    cdef floating decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef Py_ssize_t i
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        G[i] = keep * G[i] + fresh * (d * d)
        s = G[i]
        if centered:
            g_mean[i] = keep * g_mean[i] + fresh * d
            spread = s - g_mean[i] * g_mean[i]
            # a variance is ≥ 0, but for rounding; where both have overflowed it stays infinite
            s = spread if spread > 0 else (0 if spread <= 0 else s)
        d = d / damped_root(s, e, eps_inside_sqrt)
        if averaged:
            b[i] = mu * b[i] + d
            d = b[i]
        w[i] = stepped(w[i], eta, d)


cdef cloned rmsprop_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """G ← αG + (1 − α)g²;  w ← w − ηg/√(G + ε), or ηg/(√G + ε).

    Centered, with ḡ: ḡ ← αḡ + (1 − α)g, and G − ḡ² stands for G under the root.
    With momentum, and b: b ← μb + g/denominator;  w ← w − ηb.
    """
    cdef bint eps_inside_sqrt = c[4] != 0
    forget(a[2], n, <floating> c[1])
    if a[3] == NULL and a[4] == NULL:
        scale_by_root(a, n, c, False, False, eps_inside_sqrt)
    elif a[3] == NULL:
        scale_by_root(a, n, c, False, True, eps_inside_sqrt)
    elif a[4] == NULL:
        scale_by_root(a, n, c, True, False, eps_inside_sqrt)
    else:
        scale_by_root(a, n, c, True, True, eps_inside_sqrt)


rmsprop = rule(
    "w g G g_mean? b?",
    "lr alpha eps momentum eps_inside_sqrt weight_decay maximize",
    <Loop> rmsprop_loop[float], <Loop> rmsprop_loop[double],
)


cdef cloned adam_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − η (m/c₁) / (√(v/c₂) + ε).

    The corrections are c₁ = 1 − β₁ᵗ and c₂ = 1 − β₂ᵗ. With v_max (AMSGrad), v_max ← max(v_max, v)
    stands for v in the update. Decoupled weight decay: w ← (1 − ηλ)w first, and g is left alone.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef floating *v_max = a[4]
    cdef floating keep1 = <floating> c[1], fresh1 = <floating> (1 - c[1])
    cdef floating keep2 = <floating> c[2], fresh2 = <floating> (1 - c[2])
    cdef floating eta = <floating> (c[0] / c[3]), scale2 = <floating> (1 / c[4])
    cdef floating e = <floating> c[5], decay = 0 if c[7] else <floating> c[6]
    cdef floating shrink = <floating> (1 - c[0] * c[6]) if c[7] else 1
    cdef floating sign = -1 if c[8] else 1, d, s
    cdef Py_ssize_t i
    forget(v, n, keep2)
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        s = v[i]
        if v_max != NULL:
            s = v_max[i] if v_max[i] > s else s
            v_max[i] = s
        w[i] = stepped(shrink * w[i], eta, m[i] / (root(s * scale2) + e))


adam = rule(
    "w g m v v_max?",
    "lr beta1 beta2 correction1 correction2 eps weight_decay decoupled maximize",
    <Loop> adam_loop[float], <Loop> adam_loop[double],
)


cdef cloned nadam_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − η (p g + q m) / (√(v/c₂) + ε).

    p is (1 − μ_t) / (1 − Πμ_t), q is μ_{t+1} / (1 − Πμ_{t+1}), and c₂ = 1 − β₂ᵗ.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef floating keep1 = <floating> c[1], fresh1 = <floating> (1 - c[1])
    cdef floating keep2 = <floating> c[2], fresh2 = <floating> (1 - c[2])
    # a quarter of each share, as the sum could overflow; η makes up for it
    cdef floating eta = <floating> (4 * c[0]), p = <floating> (c[3] / 4), q = <floating> (c[4] / 4)
    cdef floating scale2 = <floating> (1 / c[5]), e = <floating> c[6]
    cdef floating decay = 0 if c[8] else <floating> c[7]
    cdef floating shrink = <floating> (1 - c[0] * c[7]) if c[8] else 1
    cdef floating sign = -1 if c[9] else 1, d
    cdef Py_ssize_t i
    forget(v, n, keep2)
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        w[i] = stepped(shrink * w[i], eta, (p * d + q * m[i]) / (root(v[i] * scale2) + e))


nadam = rule(
    "w g m v",
    "lr beta1 beta2 now ahead correction2 eps weight_decay decoupled maximize",
    <Loop> nadam_loop[float], <Loop> nadam_loop[double],
)


cdef cloned adamax_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  w ← w − (η/c₁) m/u with c₁ = 1 − β₁ᵗ.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *u = a[3]
    cdef floating keep1 = <floating> c[1], fresh1 = <floating> (1 - c[1]), keep2 = <floating> c[2]
    cdef floating eta = <floating> (c[0] / c[3]), e = <floating> c[4], d, faded, size
    cdef floating decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef Py_ssize_t i
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        faded, size = keep2 * u[i], <floating> fabs(d) + e
        u[i] = faded if faded > size else size
        w[i] = stepped(w[i], eta, m[i] / u[i])


adamax = rule(
    "w g m u",
    "lr beta1 beta2 correction1 eps weight_decay maximize",
    <Loop> adamax_loop[float], <Loop> adamax_loop[double],
)


cdef cloned radam_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − (η/c₁) m · r√c₂/(√v + ε).

    As long as the rectification r√c₂ is 0, w ← w − (η/c₁) m. c₁ = 1 − β₁ᵗ, c₂ = 1 − β₂ᵗ.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef floating keep1 = <floating> c[1], fresh1 = <floating> (1 - c[1])
    cdef floating keep2 = <floating> c[2], fresh2 = <floating> (1 - c[2])
    cdef floating eta = <floating> (c[0] / c[3]), rectified = <floating> c[4]
    cdef floating e = <floating> c[5], decay = 0 if c[7] else <floating> c[6]
    cdef floating shrink = <floating> (1 - c[0] * c[6]) if c[7] else 1
    cdef floating sign = -1 if c[8] else 1, d
    cdef Py_ssize_t i
    forget(v, n, keep2)
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        d = m[i] / (root(v[i]) + e) * rectified if rectified else m[i]
        w[i] = stepped(shrink * w[i], eta, d)


radam = rule(
    "w g m v",
    "lr beta1 beta2 correction1 rectification eps weight_decay decoupled maximize",
    <Loop> radam_loop[float], <Loop> radam_loop[double],
)


cdef cloned adadelta_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """E ← ρE + (1 − ρ)g²;  Δ = g √(D + ε)/√(E + ε);  D ← ρD + (1 − ρ)Δ²;  w ← w − ηΔ.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *E = a[2]
    cdef floating *D = a[3]
    cdef floating eta = <floating> c[0], keep = <floating> c[1], fresh = <floating> (1 - c[1])
    cdef floating e = <floating> c[2], decay = <floating> c[3], sign = -1 if c[4] else 1, d
    cdef Py_ssize_t i
    forget(E, n, keep)
    for i in range(n):
        d = descent(g[i], w[i], sign, decay)
        E[i] = keep * E[i] + fresh * (d * d)
        d = d * (root(D[i] + e) / root(E[i] + e))
        D[i] = keep * D[i] + fresh * (d * d)
        w[i] = stepped(w[i], eta, d)


adadelta = rule(
    "w g E D",
    "lr rho eps weight_decay maximize",
    <Loop> adadelta_loop[float], <Loop> adadelta_loop[double],
)


cdef inline void follow(floating g, floating *w, floating *z, floating *n, floating alpha,
                        floating threshold, floating ridge, double power,
                        bint square_root) noexcept nogil:
    """σ = n'^−p − n^−p with n' = n + g²;  z ← z + αg − σw;  n ← n';
    w = 0 where |z| ≤ αλ₁, else −(z − sgn(z)αλ₁) / (β + n^−p + αλ₂).

    This z is α times the paper's, so that α may change from step to step, or be 0. An entry with
    g² = 0 has nothing to learn and is left alone, to the bit.
    """
    cdef floating limit = 1e19 if floating is float else 1e154  # beyond it g² would overflow
    cdef floating before, after, grown, tilted, size, moved
    cdef bint learns = g * g != 0  # no branch but selections below, so that the loop can be vectors
    g = limit if g > limit else (-limit if g < -limit else g)
    before = root(n[0]) if square_root else <floating> pow(n[0], power)
    grown = square_sum(n[0], g)
    after = root(grown) if square_root else <floating> pow(grown, power)
    tilted = z[0] + alpha * g - (after - before) * w[0]
    size = <floating> fabs(tilted) - threshold
    moved = (-size if tilted > 0 else size) / (ridge + after)
    moved = 0 if size <= 0 else moved
    n[0] = grown if learns else n[0]
    z[0] = tilted if learns else z[0]
    w[0] = moved if learns else w[0]


cdef cloned ftrl_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *z = a[2]
    cdef floating *m = a[3]
    cdef floating alpha = <floating> c[0], threshold = <floating> (c[0] * c[2])
    cdef floating ridge = <floating> (c[1] + c[0] * c[3])
    cdef floating decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef double power = -c[4]
    cdef Py_ssize_t i
    if power == 0.5:
        for i in range(n):
            follow(descent(g[i], w[i], sign, decay), &w[i], &z[i], &m[i], alpha, threshold, ridge,
                   power, True)
    else:
        for i in range(n):
            follow(descent(g[i], w[i], sign, decay), &w[i], &z[i], &m[i], alpha, threshold, ridge,
                   power, False)


ftrl = rule(
    "w g z n",
    "lr beta l1 l2 lr_power weight_decay maximize",
    <Loop> ftrl_loop[float], <Loop> ftrl_loop[double],
)


def ftrl_at(const Py_ssize_t[::1] indices not None, floating[::1] w not None,
            const floating[::1] g not None, floating[::1] z not None, floating[::1] n not None,
            double lr, double beta, double l1, double l2, double lr_power, bint maximize):
    """`ftrl` on the entries at the indices, which rise; g holds the gradients of these alone."""
    cdef floating alpha = <floating> lr, threshold = <floating> (lr * l1)
    cdef floating ridge = <floating> (beta + lr * l2), sign = -1 if maximize else 1
    cdef Py_ssize_t i, k, size = indices.shape[0]
    if not (g.shape[0] == size and z.shape[0] == n.shape[0] == w.shape[0]):
        raise ValueError(
            f"there are {size} indices, {g.shape[0]} gradients; w has {w.shape[0]} entries, z "
            f"{z.shape[0]} and n {n.shape[0]}"
        )
    check_indices(indices, w.shape[0])
    with nogil:
        for k in range(size):
            i = indices[k]
            follow(sign * g[k], &w[i], &z[i], &n[i], alpha, threshold, ridge, -lr_power,
                   lr_power == -0.5)


cdef cloned lion_loop(floating **a, Py_ssize_t n, const double *c) noexcept nogil:
    """w ← (1 − ηλ)w − η sgn(β₁m + (1 − β₁)g);  m ← β₂m + (1 − β₂)g.
    """
    cdef floating *w = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating keep1 = <floating> c[1], fresh1 = <floating> (1 - c[1])
    cdef floating keep2 = <floating> c[2], fresh2 = <floating> (1 - c[2])
    cdef floating eta = <floating> c[0], shrink = <floating> (1 - c[0] * c[3])
    cdef floating sign = -1 if c[4] else 1, d, direction
    cdef Py_ssize_t i
    for i in range(n):
        d = sign * g[i]
        direction = keep1 * m[i] + fresh1 * d
        # the sign; of 0 it is 0, of NaN NaN
        direction = 1 if direction > 0 else (-1 if direction < 0 else direction)
        w[i] = shrink * w[i] - eta * direction
        m[i] = keep2 * m[i] + fresh2 * d


lion = rule(
    "w g m",
    "lr beta1 beta2 weight_decay maximize",
    <Loop> lion_loop[float], <Loop> lion_loop[double],
)


cpdef int check_indices(const Py_ssize_t[::1] indices, Py_ssize_t size) except -1:
    """Raise unless the indices rise and lie in 0 … size − 1."""
    cdef Py_ssize_t k, last = -1
    for k in range(indices.shape[0]):
        if indices[k] < 0 or indices[k] >= size:
            raise IndexError(
                f"sparse_step: index {indices[k]} is outside of 0 … {size - 1}"
            )
        if indices[k] <= last:
            raise ValueError(
                f"sparse_step: indices must rise, but {indices[k]} comes after {last}; sort them, "
                "and add up the gradients of equal ones"
            )
        last = indices[k]
    return 0


def squared_norm(const floating[::1] g not None):
    """Σ g² in float64, added up in the same order on every machine."""
    cdef Py_ssize_t i
    cdef double[8] sums = [0, 0, 0, 0, 0, 0, 0, 0]
    cdef double total = 0
    with nogil:
        for i in range(g.shape[0]):
            sums[i % 8] += <double> g[i] * <double> g[i]
        for i in range(8):
            total += sums[i]
    return total
