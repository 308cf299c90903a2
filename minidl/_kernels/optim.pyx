"""The loops of the update rules, for `minidl.optim`: one typed loop each, in place.

A rule is called with lists, the parameters theta, their gradients g and their states, and with its
constants; one call updates all parameters. Its loop runs over the entries of one parameter; its
docstring states the equations of the class. Constants arrive as float64 and are rounded once to the
arrays' type. Each entry is computed from its own inputs alone, so the bits do not depend on the
number of threads.

Before g is used, it is negated to maximize, and λθ is added for weight decay.

Subnormal numbers, those below the smallest normal one, count as 0: the loops run in the processor's
mode that replaces them. A state that decays under a gradient of 0 thus ends at 0; otherwise it
would stay subnormal for good, and steps would take up to twenty times as long.
"""

from cython cimport critical_section, floating
from cpython.object cimport PyObject
from cython.parallel cimport prange
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX, FLT_MIN
from libc.math cimport fabs, pow, sqrt, sqrtf
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from minidl._kernels.arrays cimport (
    alike, copy_of, data, import_numpy, is_indices, is_vector, itemsize, readable, single, size_of,
    writable
)
from minidl._kernels.atomic cimport Block, assign, revert
from minidl._kernels.plan cimport Call, Plan, plain
from minidl._kernels.system cimport FLUSHES, cloned, flush_subnormals, mode, restore_mode, threads

import_numpy()

cdef enum:
    THREADED = 2097152  # entries; below this, starting the threads costs more than they save
    LONG = 4096  # entries; from here on it pays to begin at a cache line
    BYTES = 64  # in a cache line
    LINE = 16  # float32 entries in a cache line

threaded = THREADED


cdef class Rule:
    """A rule's loops, for float32 and float64, called with lists of arrays and constants."""

    cdef Loop float_loop, double_loop
    cdef readonly tuple arrays, constants  # their names; an array with a ? is optional

    def __call__(self, tuple lists, *constants):
        # Update parameters: `prepare`, then run. (A docstring is a warning of the compiler.)
        commit([self.prepare(lists, *constants)], ())

    def prepare(self, tuple lists, *constants):
        """An Update of parameters: lists are theta, g and the states, None for one left out.

        ValueError unless all arrays are C-contiguous, those of one parameter have one shape and one
        dtype, float32 or float64, and all but g are writable.
        """
        cdef Py_ssize_t width = len(self.arrays), i, k
        cdef Update update = Update()
        cdef Work *work = &update.work
        if len(lists) != width or len(constants) != len(self.constants):
            raise TypeError(f"expected {self.arrays} and {self.constants}")
        for k in range(len(constants)):
            work.c[k] = constants[k]
        cdef list copies = []  # the lists themselves may be changed later
        for arrays in lists:
            copies.append(None if arrays is None else list(arrays))
        update.lists = tuple(copies)
        cdef list theta = copies[0], g = copies[1]
        for i in range(len(g)):
            g[i] = plain(g[i])
        work.all = <Parameter *> calloc(len(theta) + 1, sizeof(Parameter))
        if work.all == NULL:
            raise MemoryError
        for k in range(width):
            check_arrays(update.lists[k], self.arrays[k], k, theta, work.all)
        work.count = len(theta)
        for i in range(work.count):
            work.total += work.all[i].size
        work.float_loop, work.double_loop = self.float_loop, self.double_loop
        update.prepare_threads()
        return update


cdef class Update:
    """One update of some parameters, checked and ready: it holds its arrays, and can't fail."""

    def __dealloc__(self):
        free(self.work.all)

    cdef int prepare_threads(self) except -1:
        """Start the threads that the update shall use, unless it is too small for several."""
        self.work.parts = threads() if self.work.total >= THREADED else 1
        return 0

    cdef int check(self) except -1:
        """Raise if an array was resized or made read-only since the update was prepared."""
        if not self.is_current():
            raise RuntimeError("an array was changed while its update was prepared")
        return 0

    cdef bint is_current(self) noexcept:
        """Whether all arrays are where they were, and can be written to."""
        cdef Py_ssize_t i, k
        cdef Parameter *p
        for i in range(self.work.count):
            p = &self.work.all[i]
            for k in range(ARRAYS):
                if p.objects[k] != NULL and (
                    data(<object> p.objects[k]) != p.a[k]
                    or size_of(<object> p.objects[k]) != p.size
                    or (k != 1 and not writable(<object> p.objects[k]))
                ):
                    return False
        return True

    cdef int forget_gradients(self) except -1:
        """Hold only pointers to the gradients, which somebody else keeps alive."""
        cdef Py_ssize_t i
        for i in range(self.work.count):
            self.work.all[i].objects[1] = NULL
        self.lists = (self.lists[0], None, *self.lists[2:])
        return 0

    cdef bint take(self, tuple lists) except -1:
        """Update other arrays of the same shapes and dtypes; returns whether they are suitable."""
        cdef Py_ssize_t i, k
        cdef list arrays, theta = lists[0]
        for arrays in lists:
            for i in range(self.work.count if arrays is not None else 0):
                if not (is_compatible(theta[i], arrays[i], True)
                        and size_of(arrays[i]) == self.work.all[i].size
                        and itemsize(arrays[i]) == self.work.all[i].itemsize):
                    return False
        for k in range(len(lists)):
            arrays = lists[k]
            for i in range(self.work.count if arrays is not None else 0):
                self.work.all[i].a[k] = data(arrays[i])
                self.work.all[i].objects[k] = <PyObject *> arrays[i]
        self.lists = lists
        return True

    cdef list pointers(self):
        """(address, value) of each pointer to an array."""
        cdef Py_ssize_t i, k
        cdef Parameter *all = self.work.all
        found = []
        for i in range(self.work.count):
            for k in range(ARRAYS):
                if all[i].a[k] != NULL:
                    found.append((<size_t> &all[i].a[k], <size_t> all[i].a[k]))
        return found


cdef void run_work(Work *work) noexcept nogil:
    cdef Py_ssize_t part
    if work.parts == 1:
        update_part(work, 0)
    else:
        for part in prange(work.parts, schedule="static", chunksize=1, num_threads=work.parts):
            update_part(work, part)


cdef int run_update(Call *call) noexcept nogil:
    run_work(<Work *> call.a[0])
    return 0


def add_update(Plan plan, str name, Update update):
    """Add an update that has run to a plan."""
    cdef Call call
    memset(&call, 0, sizeof(Call))
    call.run, call.a[0] = run_update, &update.work
    plan.kept.append(update)
    arrays = tuple([x for arrays in update.lists if arrays is not None for x in arrays])
    plan.add(&call, name, arrays, arrays, None)


def commit(list updates, changes):
    """Make the changes as `atomic.assign` does, then run the updates, in one call.

    Signals are handled before it or after it. An update is an Update, or a kernel's call as a
    functools.partial; if that raises, nothing has changed, so it must be the first.
    """
    for update in updates:
        if isinstance(update, Update):
            (<Update> update).check()
    cdef list undo = assign(changes)
    cdef bint done = False
    try:
        for update in updates:
            if isinstance(update, Update):
                with nogil:
                    run_work(&(<Update> update).work)
            else:
                update()
        done = True
    finally:
        if not done:
            revert(undo, len(undo))


cdef int check_arrays(list arrays, str name, Py_ssize_t k, list theta, Parameter *all) except -1:
    """Check the k-th array of each parameter against theta, and store its pointer."""
    cdef Py_ssize_t i
    if arrays is None and name.endswith("?"):
        for i in range(len(theta)):
            all[i].a[k] = NULL
        return 0
    if arrays is None or len(arrays) != len(theta):
        raise ValueError(
            f"{name} must hold {len(theta)} arrays, one for each parameter, got {arrays}"
        )
    for i in range(len(theta)):
        if not is_compatible(theta[i], arrays[i], written=k != 1):
            raise ValueError(
                f"{name}[{i}] must be a C-contiguous array of theta's shape and dtype, float32 or "
                f"float64, and writable unless it is g; got {arrays[i]!r:.200}"
            )
        all[i].a[k], all[i].objects[k] = data(arrays[i]), <PyObject *> arrays[i]
        all[i].size, all[i].itemsize = size_of(theta[i]), itemsize(theta[i])
    return 0


cdef inline bint is_compatible(object theta, object array, bint written) noexcept:
    """Whether an array has the form that a rule needs for the parameter theta."""
    return (readable(theta) and readable(array) and alike(theta, array)
            and (not written or writable(array)))


cdef void update_part(Work *work, Py_ssize_t part) noexcept nogil:
    """Run a rule's loop over one of several parts of each parameter.

    In long arrays, parts begin at a cache line of theta. g and the states begin there too, since
    the system allocates large arrays at the same offset in a page. Unaligned vectors cost 15 %.
    """
    cdef Py_ssize_t i, head, lines, parts = work.parts
    cdef Parameter *p
    cdef mode before = flush_subnormals()
    for i in range(work.count):
        p, head = &work.all[i], 0
        if p.size >= LONG:
            head = (-<Py_ssize_t> p.a[0] & (BYTES - 1)) // p.itemsize
        lines = (p.size - head) // LINE
        if head and part == 0:
            run_loop(p, 0, head, work)
        run_loop(p, head + lines * part // parts * LINE,
                 p.size if part == parts - 1 else head + lines * (part + 1) // parts * LINE, work)
    restore_mode(before)


cdef void run_loop(Parameter *p, Py_ssize_t begin, Py_ssize_t end, Work *work) noexcept nogil:
    """Run the loop of the parameter's dtype over the entries from begin to end."""
    cdef Py_ssize_t k
    cdef void *a[ARRAYS]
    for k in range(ARRAYS):
        a[k] = p.a[k] + begin * p.itemsize if p.a[k] != NULL else NULL
    if p.itemsize == sizeof(float):
        work.float_loop(a, end - begin, work.c)
    else:
        work.double_loop(a, end - begin, work.c)
    if not FLUSHES:
        for k in range(ARRAYS):
            if k != 1 and a[k] != NULL:  # all but g
                if p.itemsize == sizeof(float):
                    flush(<float *> a[k], end - begin)
                else:
                    flush(<double *> a[k], end - begin)


cdef inline floating flushed(floating x) noexcept nogil:
    """x, or 0 if it is subnormal; the processor's mode leaves numbers that are only copied."""
    cdef floating smallest = FLT_MIN if floating is float else DBL_MIN
    return 0 * x if fabs(x) < smallest else x


cdef void flush(floating *x, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(size):
        x[i] = flushed(x[i])


cdef Rule rule(str arrays, str constants, Loop float_loop, Loop double_loop):
    cdef Rule made = Rule()
    made.arrays, made.constants = tuple(arrays.split()), tuple(constants.split())
    made.float_loop, made.double_loop = float_loop, double_loop
    return made


cdef inline floating effective(floating g, floating theta, floating sign,
                               floating weight_decay) noexcept nogil:
    """The effective gradient: g ← −g if maximize (sign = −1), then g ← g + λθ."""
    return sign * g + weight_decay * theta


cdef inline floating stepped(floating theta, floating lr, floating d) noexcept nogil:
    """θ − ηd; exactly θ where η = 0, even if d has overflowed."""
    return theta - lr * d if lr != 0 else flushed(theta)


cdef inline void reset_if_zero(floating beta, floating *v, Py_ssize_t size) noexcept nogil:
    """v ← 0 if β = 0, since 0 · v would be NaN where v has overflowed."""
    cdef Py_ssize_t i
    if beta == 0:
        for i in range(size):
            v[i] = 0


cdef inline floating root(floating x) noexcept nogil:
    """√x."""
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline floating damped_root(floating x, floating eps, bint eps_inside_sqrt) noexcept nogil:
    """√(x + ε) if eps_inside_sqrt, else √x + ε."""
    return root(x + eps) if eps_inside_sqrt else root(x) + eps


cdef inline floating add_square(floating n, floating g) noexcept nogil:
    """n + g², or the largest number where that overflows."""
    cdef floating total = n + g * g, largest = FLT_MAX if floating is float else DBL_MAX
    return largest if total > largest else total


cdef cloned sgd_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """θ ← θ − ηg              if μ = 0
    b ← g                   if μ > 0 and t = 1
    b ← μb + (1 − τ)g       if μ > 0 and t > 1
    θ ← θ − ηb              if μ > 0 and not nesterov
    θ ← θ − η(g + μb)       if nesterov
    """
    cdef floating lr = <floating> c[0], momentum = <floating> c[1]
    cdef floating one_minus_dampening = <floating> (1 - c[2])
    cdef bint first = c[3] != 0, nesterov = c[4] != 0
    cdef floating weight_decay = <floating> c[5], sign = -1 if c[6] else 1, d
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *b = a[2]
    cdef Py_ssize_t i
    if b == NULL:
        for i in range(size):
            theta[i] = stepped(theta[i], lr, effective(g[i], theta[i], sign, weight_decay))
        return
    for i in range(size):
        d = effective(g[i], theta[i], sign, weight_decay)
        b[i] = d if first else momentum * b[i] + one_minus_dampening * d
        theta[i] = stepped(theta[i], lr, d + momentum * b[i] if nesterov else b[i])


sgd = rule(
    "theta g b?",
    "lr momentum dampening first nesterov weight_decay maximize",
    <Loop> sgd_loop[float], <Loop> sgd_loop[double],
)


cdef cloned momentum_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """v ← βv + (1 − β)g
    θ ← θ − ηv
    """
    cdef floating lr = <floating> c[0]
    cdef floating beta = <floating> c[1], one_minus_beta = <floating> (1 - c[1])
    cdef floating weight_decay = <floating> c[2], sign = -1 if c[3] else 1
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *v = a[2]
    cdef Py_ssize_t i
    for i in range(size):
        v[i] = beta * v[i] + one_minus_beta * effective(g[i], theta[i], sign, weight_decay)
        theta[i] = stepped(theta[i], lr, v[i])


momentum = rule(
    "theta g v",
    "lr beta weight_decay maximize",
    <Loop> momentum_loop[float], <Loop> momentum_loop[double],
)


cdef cloned nag_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """v ← βv + (1 − β)g
    θ ← θ − η(βv + (1 − β)g)
    """
    cdef floating lr = <floating> c[0]
    cdef floating beta = <floating> c[1], one_minus_beta = <floating> (1 - c[1])
    cdef floating weight_decay = <floating> c[2], sign = -1 if c[3] else 1, d
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *v = a[2]
    cdef Py_ssize_t i
    for i in range(size):
        d = one_minus_beta * effective(g[i], theta[i], sign, weight_decay)
        v[i] = beta * v[i] + d
        theta[i] = stepped(theta[i], lr, beta * v[i] + d)


nag = rule(
    "theta g v",
    "lr beta weight_decay maximize",
    <Loop> nag_loop[float], <Loop> nag_loop[double],
)


cdef cloned adagrad_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """G ← G + g²
    θ ← θ − ηg / √(G + ε)               if eps_inside_sqrt
    θ ← θ − ηg / (√G + ε)               if not eps_inside_sqrt
    """
    cdef floating lr = <floating> c[0], eps = <floating> c[1]
    cdef bint eps_inside_sqrt = c[2] != 0
    cdef floating weight_decay = <floating> c[3], sign = -1 if c[4] else 1, d
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *G = a[2]
    cdef Py_ssize_t i
    for i in range(size):
        d = effective(g[i], theta[i], sign, weight_decay)
        G[i] = G[i] + d * d
        theta[i] = stepped(theta[i], lr, d / damped_root(G[i], eps, eps_inside_sqrt))


adagrad = rule(
    "theta g G",
    "lr eps eps_inside_sqrt weight_decay maximize",
    <Loop> adagrad_loop[float], <Loop> adagrad_loop[double],
)


cdef cloned rmsprop_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """G ← αG + (1 − α)g²
    ḡ ← αḡ + (1 − α)g                   if centered
    d = g / √(G + ε)                    if not centered and eps_inside_sqrt
    d = g / (√G + ε)                    if not centered and not eps_inside_sqrt
    d = g / √(max(G − ḡ², 0) + ε)       if centered and eps_inside_sqrt
    d = g / (√max(G − ḡ², 0) + ε)       if centered and not eps_inside_sqrt
    b ← μb + d                          if μ > 0
    θ ← θ − ηb                          if μ > 0
    θ ← θ − ηd                          if μ = 0
    """
    cdef floating alpha = <floating> c[1]
    cdef floating *G = a[2]
    cdef floating *g_mean = a[3]
    cdef floating *b = a[4]
    reset_if_zero(alpha, G, size)
    if g_mean == NULL and b == NULL:
        rmsprop_variant(a, size, c, False, False)
    elif g_mean == NULL:
        rmsprop_variant(a, size, c, False, True)
    elif b == NULL:
        rmsprop_variant(a, size, c, True, False)
    else:
        rmsprop_variant(a, size, c, True, True)


cdef inline void rmsprop_variant(floating **a, Py_ssize_t size, const double *c, bint centered,
                                 bint with_momentum) noexcept nogil:
    """RMSprop in one of its forms; each is compiled to its own loop without branches."""
    cdef floating lr = <floating> c[0], eps = <floating> c[2], momentum = <floating> c[3]
    cdef floating alpha = <floating> c[1], one_minus_alpha = <floating> (1 - c[1])
    cdef bint eps_inside_sqrt = c[4] != 0
    cdef floating weight_decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *G = a[2]
    cdef floating *g_mean = a[3]
    cdef floating *b = a[4]
    cdef floating d, square, variance
    cdef Py_ssize_t i
    for i in range(size):
        d = effective(g[i], theta[i], sign, weight_decay)
        G[i] = alpha * G[i] + one_minus_alpha * (d * d)
        square = G[i]
        if centered:
            g_mean[i] = alpha * g_mean[i] + one_minus_alpha * d
            variance = square - g_mean[i] * g_mean[i]
            # below 0 only by rounding; where both terms have overflowed, it stays infinite
            square = variance if variance > 0 else (0 if variance <= 0 else square)
        d = d / damped_root(square, eps, eps_inside_sqrt)
        if with_momentum:
            b[i] = momentum * b[i] + d
            d = b[i]
        theta[i] = stepped(theta[i], lr, d)


rmsprop = rule(
    "theta g G g_mean? b?",
    "lr alpha eps momentum eps_inside_sqrt weight_decay maximize",
    <Loop> rmsprop_loop[float], <Loop> rmsprop_loop[double],
)


cdef cloned adam_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g
    v ← β₂v + (1 − β₂)g²
    v_max ← max(v_max, v)       if amsgrad
    m̂ = m / (1 − β₁ᵗ)
    v̂ = v / (1 − β₂ᵗ)           if not amsgrad
    v̂ = v_max / (1 − β₂ᵗ)       if amsgrad
    θ ← θ − η m̂ / (√v̂ + ε)

    correction1 = 1 − β₁ᵗ, correction2 = 1 − β₂ᵗ. Decoupled weight decay: θ ← (1 − ηλ)θ first.
    """
    cdef floating beta1 = <floating> c[1], one_minus_beta1 = <floating> (1 - c[1])
    cdef floating beta2 = <floating> c[2], one_minus_beta2 = <floating> (1 - c[2])
    cdef double lr = c[0], correction1 = c[3], correction2 = c[4], weight_decay = c[6]
    cdef floating eps = <floating> c[5], sign = -1 if c[8] else 1
    cdef bint decoupled = c[7] != 0
    cdef floating step_size = <floating> (lr / correction1), scale2 = <floating> (1 / correction2)
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    cdef floating l2 = 0 if decoupled else <floating> weight_decay, d, largest
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef floating *v_max = a[4]
    cdef Py_ssize_t i
    reset_if_zero(beta2, v, size)
    for i in range(size):
        d = effective(g[i], theta[i], sign, l2)
        m[i] = beta1 * m[i] + one_minus_beta1 * d
        v[i] = beta2 * v[i] + one_minus_beta2 * (d * d)
        largest = v[i]
        if v_max != NULL:
            largest = v_max[i] if v_max[i] > largest else largest
            v_max[i] = largest
        theta[i] = stepped(shrink * theta[i], step_size, m[i] / (root(largest * scale2) + eps))


adam = rule(
    "theta g m v v_max?",
    "lr beta1 beta2 correction1 correction2 eps weight_decay decoupled maximize",
    <Loop> adam_loop[float], <Loop> adam_loop[double],
)


cdef cloned nadam_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g
    v ← β₂v + (1 − β₂)g²
    v̂ = v / (1 − β₂ᵗ)
    θ ← θ − η((1 − μ_t)g / (1 − Π) + μ_next m / (1 − Πμ_next)) / (√v̂ + ε)

    g_factor = (1 − μ_t) / (1 − Π), m_factor = μ_next / (1 − Πμ_next), correction2 = 1 − β₂ᵗ.
    """
    cdef floating beta1 = <floating> c[1], one_minus_beta1 = <floating> (1 - c[1])
    cdef floating beta2 = <floating> c[2], one_minus_beta2 = <floating> (1 - c[2])
    cdef double lr = c[0], g_factor = c[3], m_factor = c[4], correction2 = c[5], weight_decay = c[7]
    cdef floating eps = <floating> c[6], sign = -1 if c[9] else 1
    cdef bint decoupled = c[8] != 0
    # a quarter of each factor, as the sum could overflow; four times the rate makes up for it
    cdef floating step_size = <floating> (4 * lr)
    cdef floating g_quarter = <floating> (g_factor / 4), m_quarter = <floating> (m_factor / 4)
    cdef floating scale2 = <floating> (1 / correction2)
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    cdef floating l2 = 0 if decoupled else <floating> weight_decay, d
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef Py_ssize_t i
    reset_if_zero(beta2, v, size)
    for i in range(size):
        d = effective(g[i], theta[i], sign, l2)
        m[i] = beta1 * m[i] + one_minus_beta1 * d
        v[i] = beta2 * v[i] + one_minus_beta2 * (d * d)
        theta[i] = stepped(shrink * theta[i], step_size,
                           (g_quarter * d + m_quarter * m[i]) / (root(v[i] * scale2) + eps))


nadam = rule(
    "theta g m v",
    "lr beta1 beta2 g_factor m_factor correction2 eps weight_decay decoupled maximize",
    <Loop> nadam_loop[float], <Loop> nadam_loop[double],
)


cdef cloned adamax_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g
    u ← max(β₂u, |g| + ε)
    θ ← θ − ηm / ((1 − β₁ᵗ)u)

    correction1 = 1 − β₁ᵗ.
    """
    cdef floating beta1 = <floating> c[1], one_minus_beta1 = <floating> (1 - c[1])
    cdef floating beta2 = <floating> c[2], eps = <floating> c[4]
    cdef double lr = c[0], correction1 = c[3]
    cdef floating weight_decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef floating step_size = <floating> (lr / correction1), d, decayed, magnitude
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *u = a[3]
    cdef Py_ssize_t i
    for i in range(size):
        d = effective(g[i], theta[i], sign, weight_decay)
        m[i] = beta1 * m[i] + one_minus_beta1 * d
        decayed, magnitude = beta2 * u[i], <floating> fabs(d) + eps
        u[i] = decayed if decayed > magnitude else magnitude
        theta[i] = stepped(theta[i], step_size, m[i] / u[i])


adamax = rule(
    "theta g m u",
    "lr beta1 beta2 correction1 eps weight_decay maximize",
    <Loop> adamax_loop[float], <Loop> adamax_loop[double],
)


cdef cloned radam_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """m ← β₁m + (1 − β₁)g
    v ← β₂v + (1 − β₂)g²
    m̂ = m / (1 − β₁ᵗ)
    θ ← θ − η m̂ r √(1 − β₂ᵗ) / (√v + ε)                     if ρ_t > 5
    θ ← θ − η m̂                                             if ρ_t ≤ 5

    correction1 = 1 − β₁ᵗ; rectification = r √(1 − β₂ᵗ), or 0 if ρ_t ≤ 5.
    """
    cdef floating beta1 = <floating> c[1], one_minus_beta1 = <floating> (1 - c[1])
    cdef floating beta2 = <floating> c[2], one_minus_beta2 = <floating> (1 - c[2])
    cdef double lr = c[0], correction1 = c[3], weight_decay = c[6]
    cdef floating rectification = <floating> c[4], eps = <floating> c[5], sign = -1 if c[8] else 1
    cdef bint decoupled = c[7] != 0
    cdef floating step_size = <floating> (lr / correction1)
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    cdef floating l2 = 0 if decoupled else <floating> weight_decay, d
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef floating *v = a[3]
    cdef Py_ssize_t i
    reset_if_zero(beta2, v, size)
    for i in range(size):
        d = effective(g[i], theta[i], sign, l2)
        m[i] = beta1 * m[i] + one_minus_beta1 * d
        v[i] = beta2 * v[i] + one_minus_beta2 * (d * d)
        d = m[i] / (root(v[i]) + eps) * rectification if rectification else m[i]
        theta[i] = stepped(shrink * theta[i], step_size, d)


radam = rule(
    "theta g m v",
    "lr beta1 beta2 correction1 rectification eps weight_decay decoupled maximize",
    <Loop> radam_loop[float], <Loop> radam_loop[double],
)


cdef cloned adadelta_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """E ← ρE + (1 − ρ)g²
    Δ = g √(D + ε) / √(E + ε)
    D ← ρD + (1 − ρ)Δ²
    θ ← θ − ηΔ
    """
    cdef floating lr = <floating> c[0], eps = <floating> c[2]
    cdef floating rho = <floating> c[1], one_minus_rho = <floating> (1 - c[1])
    cdef floating weight_decay = <floating> c[3], sign = -1 if c[4] else 1, d, delta
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *E = a[2]
    cdef floating *D = a[3]
    cdef Py_ssize_t i
    reset_if_zero(rho, E, size)
    for i in range(size):
        d = effective(g[i], theta[i], sign, weight_decay)
        E[i] = rho * E[i] + one_minus_rho * (d * d)
        delta = d * (root(D[i] + eps) / root(E[i] + eps))
        D[i] = rho * D[i] + one_minus_rho * (delta * delta)
        theta[i] = stepped(theta[i], lr, delta)


adadelta = rule(
    "theta g E D",
    "lr rho eps weight_decay maximize",
    <Loop> adadelta_loop[float], <Loop> adadelta_loop[double],
)


cdef cloned ftrl_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """g ← 0                                   if α = 0
    d = (n + g²)^−p − n^−p
    z ← z + αg − dθ
    n ← n + g²
    θ ← θ if g = 0 else 0 if |z| ≤ αλ₁ else −(z − sgn(z)αλ₁) / (β + n^−p + αλ₂)

    α is lr. threshold = αλ₁, ridge = β + αλ₂, power = −p.
    """
    cdef double lr = c[0], beta = c[1], l1 = c[2], l2 = c[3], power = -c[4]
    cdef floating weight_decay = <floating> c[5], sign = -1 if c[6] else 1
    cdef floating threshold = <floating> (lr * l1), ridge = <floating> (beta + lr * l2)
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *z = a[2]
    cdef floating *n = a[3]
    cdef Py_ssize_t i
    if power == 0.5:
        for i in range(size):
            ftrl_entry(effective(g[i], theta[i], sign, weight_decay), &theta[i], &z[i], &n[i],
                       <floating> lr, threshold, ridge, power, True)
    else:
        for i in range(size):
            ftrl_entry(effective(g[i], theta[i], sign, weight_decay), &theta[i], &z[i], &n[i],
                       <floating> lr, threshold, ridge, power, False)


cdef inline void ftrl_entry(floating g, floating *theta, floating *z, floating *n, floating lr,
                            floating threshold, floating ridge, double power,
                            bint square_root) noexcept nogil:
    """The equations of `ftrl_loop` for one entry.

    This z is α times the paper's, so that α may change from step to step, or be 0. An entry with
    g² = 0 is left unchanged, to the bit, unless it is subnormal; so is every entry if α = 0.
    """
    cdef floating limit = 1e19 if floating is float else 1e154  # beyond it g² would overflow
    cdef floating old_root, new_root, new_n, new_z, new_theta, excess
    cdef floating old_n = flushed(n[0]), old_z = flushed(z[0]), old_theta = flushed(theta[0])
    # selections instead of branches, here and below, so that it vectorizes
    cdef bint changes = (g * g != 0) & (lr != 0)
    g = limit if g > limit else (-limit if g < -limit else g)
    old_root = root(old_n) if square_root else <floating> pow(old_n, power)
    new_n = add_square(old_n, g)
    new_root = root(new_n) if square_root else <floating> pow(new_n, power)
    new_z = old_z + lr * g - (new_root - old_root) * old_theta
    excess = <floating> fabs(new_z) - threshold
    new_theta = (-excess if new_z > 0 else excess) / (ridge + new_root)
    new_theta = 0 if excess <= 0 else new_theta
    n[0] = new_n if changes else old_n
    z[0] = new_z if changes else old_z
    theta[0] = new_theta if changes else old_theta


ftrl = rule(
    "theta g z n",
    "lr beta l1 l2 lr_power weight_decay maximize",
    <Loop> ftrl_loop[float], <Loop> ftrl_loop[double],
)


cdef void ftrl_at_loop(const Py_ssize_t *indices, floating *theta, const floating *g, floating *z,
                       floating *n, Py_ssize_t size, floating lr, floating threshold,
                       floating ridge, floating sign, double power) noexcept nogil:
    cdef Py_ssize_t i, k
    for k in range(size):
        i = indices[k]
        ftrl_entry(sign * g[k], &theta[i], &z[i], &n[i], lr, threshold, ridge, power, power == 0.5)


def ftrl_at(indices, theta, g, z, n, double lr, double beta, double l1, double l2, double lr_power,
            bint maximize):
    """`ftrl` for the entries at increasing indices; g holds the gradients of these alone.

    Indices and g are copied first, as they may share memory with the other arrays or be changed by
    another thread. ValueError or IndexError for unsuitable arrays or indices; nothing has changed
    then.
    """
    if not (is_indices(indices) and is_vector(g)):
        raise ValueError(
            "ftrl_at needs C-contiguous vectors, indices of intp and g of float32 or float64; got "
            f"{indices!r:.100} and {g!r:.100}"
        )
    indices, g = copy_of(indices), copy_of(g)
    cdef Py_ssize_t size = size_of(indices)
    if not (is_vector(theta) and is_vector(z) and is_vector(n) and alike(theta, z)
            and alike(theta, n) and writable(theta) and writable(z) and writable(n)
            and size_of(g) == size and single(g) == single(theta)):
        raise ValueError(
            "ftrl_at needs writable C-contiguous vectors theta, z and n with equally many entries, "
            f"and as many gradients as indices, all of one dtype; got {size} indices, "
            f"{theta!r:.100}, {g!r:.100}, {z!r:.100} and {n!r:.100}"
        )
    check(<const Py_ssize_t *> data(indices), size, size_of(theta))
    cdef const Py_ssize_t *at = <const Py_ssize_t *> data(indices)
    cdef char *theta_data = data(theta)
    cdef char *g_data = data(g)
    cdef char *z_data = data(z)
    cdef char *n_data = data(n)
    cdef bint is_single = single(theta)
    cdef double threshold = lr * l1, ridge = beta + lr * l2, sign = -1 if maximize else 1
    cdef mode before
    with nogil:
        before = flush_subnormals()
        if is_single:
            ftrl_at_loop(at, <float *> theta_data, <const float *> g_data, <float *> z_data,
                         <float *> n_data, size, lr, threshold, ridge, sign, -lr_power)
        else:
            ftrl_at_loop(at, <double *> theta_data, <const double *> g_data, <double *> z_data,
                         <double *> n_data, size, lr, threshold, ridge, sign, -lr_power)
        restore_mode(before)


cdef cloned lion_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    """θ ← θ − η sgn(β₁m + (1 − β₁)g)
    m ← β₂m + (1 − β₂)g

    Decoupled weight decay: θ ← (1 − ηλ)θ first.
    """
    cdef floating beta1 = <floating> c[1], one_minus_beta1 = <floating> (1 - c[1])
    cdef floating beta2 = <floating> c[2], one_minus_beta2 = <floating> (1 - c[2])
    cdef double lr = c[0], weight_decay = c[3]
    cdef floating step_size = <floating> lr, shrink = <floating> (1 - lr * weight_decay)
    cdef floating sign = -1 if c[4] else 1, d, direction
    cdef floating *theta = a[0]
    cdef floating *g = a[1]
    cdef floating *m = a[2]
    cdef Py_ssize_t i
    for i in range(size):
        d = sign * g[i]
        direction = beta1 * m[i] + one_minus_beta1 * d
        # the sign of 0 is 0, that of NaN is NaN
        direction = 1 if direction > 0 else (-1 if direction < 0 else direction)
        theta[i] = stepped(shrink * theta[i], step_size, direction)
        m[i] = beta2 * m[i] + one_minus_beta2 * d


lion = rule(
    "theta g m",
    "lr beta1 beta2 weight_decay maximize",
    <Loop> lion_loop[float], <Loop> lion_loop[double],
)


def check_indices(indices, Py_ssize_t size):
    """Raise unless the indices, a vector of intp, increase and lie in 0 … size − 1."""
    if not is_indices(indices):
        raise ValueError(
            f"check_indices needs a C-contiguous vector of intp, got {indices!r:.100}"
        )
    check(<const Py_ssize_t *> data(indices), size_of(indices), size)


cdef int check(const Py_ssize_t *indices, Py_ssize_t count, Py_ssize_t size) except -1:
    cdef Py_ssize_t k, index, last = -1
    for k in range(count):
        index = indices[k]
        if not 0 <= index < size:
            raise IndexError(f"sparse_step: index {index} is outside 0 to {size - 1}")
        if index <= last:
            raise ValueError(
                f"sparse_step: indices must increase, but {index} comes after {last}; sort "
                "them, and sum the gradients of equal ones"
            )
        last = index
    return 0


cdef double squared_norm_loop(const floating *g, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef double[8] sums = [0, 0, 0, 0, 0, 0, 0, 0]
    cdef double total = 0
    for i in range(size):
        sums[i % 8] += <double> g[i] * <double> g[i]
    for i in range(8):
        total += sums[i]
    return total


def squared_norm(g):
    """Σ g² in float64, summed in the same order on every machine.

    ValueError unless g is a C-contiguous vector of float32 or float64.
    """
    if not is_vector(g):
        raise ValueError(
            f"squared_norm needs a C-contiguous vector of float32 or float64, got {g!r:.100}"
        )
    cdef Py_ssize_t size = size_of(g)
    cdef char *g_data = data(g)
    cdef bint is_single = single(g)
    cdef double total
    with nogil:
        if is_single:
            total = squared_norm_loop(<const float *> g_data, size)
        else:
            total = squared_norm_loop(<const double *> g_data, size)
    return total


# --- more that must not be split by a signal ------------------------------------------------------

cdef void copy_loop(floating **a, Py_ssize_t size, const double *c) noexcept nogil:
    cdef floating *target = a[0]
    cdef floating *source = a[1]
    cdef Py_ssize_t i
    for i in range(size):
        target[i] = flushed(source[i])


cdef Rule copying = rule(
    "target source", "", <Loop> copy_loop[float], <Loop> copy_loop[double]
)


def ready(list theta, list g):
    """Whether a kernel can update each theta, in place, with its g as it is."""
    cdef Py_ssize_t i
    if len(theta) != len(g):
        return False
    for i in range(len(theta)):
        if not (is_compatible(theta[i], plain(g[i]), False) and writable(theta[i])):
            return False
    return True


def replacement(list targets, list sources):
    """An Update that copies each source into its target, of the same shape and dtype.

    Subnormal numbers become 0, as in every update.
    """
    return copying.prepare((targets, sources))


cdef class Turns:
    """Lets one call at a time change an object, such as an optimizer; RuntimeError for another.

    A call begins, prepares and commits; what it runs in between can't commit, too. No lock is held
    in Python code, where an interrupt could keep it from being released.

    message  of the error
    """

    def __init__(self, str message):
        self.message = message

    def begin(self):
        """The number of the turn that begins."""
        if self.busy:
            raise RuntimeError(self.message)
        return self.turn

    cpdef check(self, unsigned long long turn):
        """Raise if another call has changed the object since the turn began."""
        if self.busy or turn != self.turn:
            raise RuntimeError(self.message)

    @critical_section
    cdef int enter(self, unsigned long long turn, bint ends=True) except -1:
        """Begin a call in a turn, which may end it; until `leave` no other can begin."""
        self.check(turn)
        self.turn += ends
        self.busy = True
        return 0

    @critical_section
    cdef int leave(self, bint ends=False) except -1:
        """End the call, and with it perhaps the turn."""
        self.turn += ends
        self.busy = False
        return 0

    def call(self, unsigned long long turn, function, *arguments):
        """Call a function of the user in a turn, inside which no other can begin."""
        self.enter(turn, False)
        try:
            return function(*arguments)
        finally:
            self.leave()

    def commit(self, unsigned long long turn, list updates, changes):
        """`commit`, which ends the turn."""
        self.enter(turn)
        try:
            commit(updates, changes)
        finally:
            self.leave()

    def __reduce__(self):  # a copy is free, whatever its original is doing
        return Turns, (self.message,)


cdef class Exchange(Block):
    """A `with` block in which tensors have other data; the base of `average`.

    `_exchange` returns (tensor, array) pairs; `_turns` is a Turns; `_own` holds the changes that
    restore the tensors, [] outside the block. Versions only grow, so that no graph outlives the
    data it was made with.
    """

    def __enter__(self):
        cdef list changes = [], own = [(self.__dict__, "_own", [])]
        turn = self._turns.begin()
        for p, array in self._exchange():
            changes += [(p, "_data", array), (p, "version", p.version + 1)]
            own += [(p, "_data", p._data), (p, "version", p.version + 2)]
        changes.append((self.__dict__, "_own", own))
        self._turns.commit(turn, [], changes)
        return self

    cdef int leave(self, kind, error) except -1:
        cdef Turns turns = self._turns
        cdef list own = self._own
        cdef Py_ssize_t i
        cdef tuple change
        cdef unsigned long long version
        changed = None
        for i in range(2, len(own), 2):
            change = own[i]
            p, version = change[0], change[0].version
            if version + 1 != <unsigned long long> change[2]:
                changed = p if changed is None else changed
                own[i] = (p, "version", version + 1)
        turns.enter(turns.turn)
        try:
            revert(own, len(own))
        finally:
            turns.leave()
        if changed is not None and kind is None:
            self._report(changed)
        return 0
