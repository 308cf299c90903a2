"""The update rules: one typed loop each, in place, in the letters of the papers.

w is a parameter, g the gradient of the loss by it, and what follows is the rule's state, all
flat and of one length. Constants arrive as float64 and are rounded once to the arrays' type. An
entry depends on nothing but itself: the bits do not depend on the number of threads.
"""

from cython cimport floating
from cython.parallel cimport prange
from libc.float cimport DBL_MAX, FLT_MAX
from libc.math cimport fabs, pow, sqrt, sqrtf

from minidl._kernels.system cimport threads

cdef enum:
    THREADED = 32768  # entries; below this, starting the threads costs more than they save


cdef inline floating descent(floating g, floating w, floating sign, floating decay) noexcept nogil:
    """The direction to descend: the gradient, flipped to maximize, with L2 weight decay added."""
    return sign * g + decay * w


cdef inline floating stepped(floating w, floating eta, floating d) noexcept nogil:
    """w − ηd; just w where η = 0, even if d has overflowed."""
    return w - eta * d if eta != 0 else w


cdef int forget(floating[::1] v, floating keep) except -1:
    """v ← 0 if nothing of it is to be kept, as 0 · v would be NaN where v has overflowed."""
    cdef Py_ssize_t i
    if keep == 0:
        for i in range(v.shape[0]):
            v[i] = 0
    return 0


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


cdef int same_length(Py_ssize_t w, Py_ssize_t g, Py_ssize_t a=-1, Py_ssize_t b=-1) except -1:
    """Raise unless the gradient and the (up to two) states given are as long as the parameter."""
    if g != w or (a != w and a != -1) or (b != w and b != -1):
        raise ValueError(f"w has {w} entries, but g has {g} and the states {a} and {b}")
    return 0


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


def sgd(floating[::1] w not None, const floating[::1] g not None, floating[::1] b, bint first,
        double lr, double momentum, double dampening, bint nesterov,
        double weight_decay, bint maximize):
    """b ← μb + (1 − τ)g (b ← g at first);  d = g + μb if nesterov else b;  w ← w − ηd.

    Without momentum b is None and d = g.
    """
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, mu = <floating> momentum, fresh = <floating> (1 - dampening)
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay, d
    if momentum == 0:
        same_length(n, g.shape[0])
        for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
            w[i] = stepped(w[i], eta, descent(g[i], w[i], sign, decay))
        return
    same_length(n, g.shape[0], 0 if b is None else b.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        b[i] = d if first else mu * b[i] + fresh * d
        w[i] = stepped(w[i], eta, d + mu * b[i] if nesterov else b[i])


def momentum(floating[::1] w not None, const floating[::1] g not None, floating[::1] v not None,
             double lr, double beta, double weight_decay, bint maximize):
    """v ← βv + (1 − β)g;  w ← w − ηv."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, keep = <floating> beta, fresh = <floating> (1 - beta)
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay
    same_length(n, g.shape[0], v.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        v[i] = keep * v[i] + fresh * descent(g[i], w[i], sign, decay)
        w[i] = stepped(w[i], eta, v[i])


def nag(floating[::1] w not None, const floating[::1] g not None, floating[::1] v not None,
        double lr, double beta, double weight_decay, bint maximize):
    """v ← βv + (1 − β)g;  w ← w − η(βv + (1 − β)g)."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, keep = <floating> beta, fresh = <floating> (1 - beta)
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay, push
    same_length(n, g.shape[0], v.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        push = fresh * descent(g[i], w[i], sign, decay)
        v[i] = keep * v[i] + push
        w[i] = stepped(w[i], eta, keep * v[i] + push)


def adagrad(floating[::1] w not None, const floating[::1] g not None, floating[::1] G not None,
            double lr, double eps, bint eps_inside_sqrt, double weight_decay, bint maximize):
    """G ← G + g²;  w ← w − ηg/√(G + ε), or ηg/(√G + ε)."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, e = <floating> eps
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay, d
    same_length(n, g.shape[0], G.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        G[i] = G[i] + d * d
        w[i] = stepped(w[i], eta, d / damped_root(G[i], e, eps_inside_sqrt))


def rmsprop(floating[::1] w not None, const floating[::1] g not None, floating[::1] G not None,
            floating[::1] g_mean, floating[::1] b,
            double lr, double alpha, double eps, double momentum, bint centered,
            bint eps_inside_sqrt, double weight_decay, bint maximize):
    """G ← αG + (1 − α)g²;  w ← w − ηg/√(G + ε), or ηg/(√G + ε).

    Centered: ḡ ← αḡ + (1 − α)g, and G − ḡ² stands for G under the root.
    With momentum: b ← μb + g/denominator;  w ← w − ηb.
    """
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, keep = <floating> alpha, fresh = <floating> (1 - alpha)
    cdef floating e = <floating> eps, mu = <floating> momentum, d, s, spread
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay
    same_length(n, g.shape[0], G.shape[0])
    same_length(n, n, (0 if g_mean is None else g_mean.shape[0]) if centered else -1,
                (0 if b is None else b.shape[0]) if momentum else -1)
    forget(G, keep)
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        G[i] = keep * G[i] + fresh * (d * d)
        s = G[i]
        if centered:
            g_mean[i] = keep * g_mean[i] + fresh * d
            spread = s - g_mean[i] * g_mean[i]
            # a variance is ≥ 0, but for rounding; where both have overflowed it stays infinite
            s = spread if spread > 0 else (0 if spread <= 0 else s)
        d = d / damped_root(s, e, eps_inside_sqrt)
        if mu != 0:
            b[i] = mu * b[i] + d
            d = b[i]
        w[i] = stepped(w[i], eta, d)


def adam(floating[::1] w not None, const floating[::1] g not None,
         floating[::1] m not None, floating[::1] v not None, floating[::1] v_max,
         double lr, double beta1, double beta2, double correction1, double correction2,
         double eps, bint amsgrad, double weight_decay, bint decoupled, bint maximize):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − η (m/c₁) / (√(v/c₂) + ε).

    The corrections are c₁ = 1 − β₁ᵗ and c₂ = 1 − β₂ᵗ. With amsgrad, v_max ← max(v_max, v) stands
    for v in the update. Decoupled weight decay: w ← (1 − ηλ)w first, and g is left alone.
    """
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating keep1 = <floating> beta1, fresh1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, fresh2 = <floating> (1 - beta2)
    cdef floating eta = <floating> (lr / correction1), scale2 = <floating> (1 / correction2)
    cdef floating e = <floating> eps, sign = -1 if maximize else 1, d, s
    cdef floating decay = 0 if decoupled else <floating> weight_decay
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    same_length(n, g.shape[0], m.shape[0], v.shape[0])
    same_length(n, n, (0 if v_max is None else v_max.shape[0]) if amsgrad else -1)
    forget(v, keep2)
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        s = v[i]
        if amsgrad:
            s = v_max[i] if v_max[i] > s else s
            v_max[i] = s
        w[i] = stepped(shrink * w[i], eta, m[i] / (root(s * scale2) + e))


def nadam(floating[::1] w not None, const floating[::1] g not None,
          floating[::1] m not None, floating[::1] v not None,
          double lr, double beta1, double beta2, double now, double ahead, double correction2,
          double eps, double weight_decay, bint decoupled, bint maximize):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − η (a g + b m) / (√(v/c₂) + ε).

    a (now) is (1 − μ_t) / (1 − Πμ_t), b (ahead) is μ_{t+1} / (1 − Πμ_{t+1}), and c₂ = 1 − β₂ᵗ.
    """
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating keep1 = <floating> beta1, fresh1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, fresh2 = <floating> (1 - beta2)
    cdef floating scale2 = <floating> (1 / correction2), eta = <floating> (4 * lr)
    # a quarter of each, as the sum could overflow; η makes up for it
    cdef floating a = <floating> (now / 4), b = <floating> (ahead / 4)
    cdef floating e = <floating> eps, sign = -1 if maximize else 1, d
    cdef floating decay = 0 if decoupled else <floating> weight_decay
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    same_length(n, g.shape[0], m.shape[0], v.shape[0])
    forget(v, keep2)
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        w[i] = stepped(shrink * w[i], eta, (a * d + b * m[i]) / (root(v[i] * scale2) + e))


def adamax(floating[::1] w not None, const floating[::1] g not None,
           floating[::1] m not None, floating[::1] u not None,
           double lr, double beta1, double beta2, double correction1,
           double eps, double weight_decay, bint maximize):
    """m ← β₁m + (1 − β₁)g;  u ← max(β₂u, |g| + ε);  w ← w − (η/c₁) m/u with c₁ = 1 − β₁ᵗ."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating keep1 = <floating> beta1, fresh1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, eta = <floating> (lr / correction1)
    cdef floating e = <floating> eps, d, faded, size
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay
    same_length(n, g.shape[0], m.shape[0], u.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        faded, size = keep2 * u[i], <floating> fabs(d) + e
        u[i] = faded if faded > size else size
        w[i] = stepped(w[i], eta, m[i] / u[i])


def radam(floating[::1] w not None, const floating[::1] g not None,
          floating[::1] m not None, floating[::1] v not None,
          double lr, double beta1, double beta2, double correction1, double rectification,
          double eps, double weight_decay, bint decoupled, bint maximize):
    """m ← β₁m + (1 − β₁)g;  v ← β₂v + (1 − β₂)g²;  w ← w − (η/c₁) m · r√c₂/(√v + ε).

    The rectification is r√c₂ with c₂ = 1 − β₂ᵗ; as long as it is 0, w ← w − (η/c₁) m. c₁ = 1 − β₁ᵗ.
    """
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating keep1 = <floating> beta1, fresh1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, fresh2 = <floating> (1 - beta2)
    cdef floating eta = <floating> (lr / correction1), rectified = <floating> rectification
    cdef floating e = <floating> eps, sign = -1 if maximize else 1, d
    cdef floating decay = 0 if decoupled else <floating> weight_decay
    cdef floating shrink = <floating> (1 - lr * weight_decay) if decoupled else 1
    same_length(n, g.shape[0], m.shape[0], v.shape[0])
    forget(v, keep2)
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        m[i] = keep1 * m[i] + fresh1 * d
        v[i] = keep2 * v[i] + fresh2 * (d * d)
        d = m[i] / (root(v[i]) + e) * rectified if rectified else m[i]
        w[i] = stepped(shrink * w[i], eta, d)


def adadelta(floating[::1] w not None, const floating[::1] g not None,
             floating[::1] E not None, floating[::1] D not None,
             double lr, double rho, double eps, double weight_decay, bint maximize):
    """E ← ρE + (1 − ρ)g²;  Δ = g √(D + ε)/√(E + ε);  D ← ρD + (1 − ρ)Δ²;  w ← w − ηΔ."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating eta = <floating> lr, keep = <floating> rho, fresh = <floating> (1 - rho)
    cdef floating e = <floating> eps, d
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay
    same_length(n, g.shape[0], E.shape[0], D.shape[0])
    forget(E, keep)
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = descent(g[i], w[i], sign, decay)
        E[i] = keep * E[i] + fresh * (d * d)
        d = d * (root(D[i] + e) / root(E[i] + e))
        D[i] = keep * D[i] + fresh * (d * d)
        w[i] = stepped(w[i], eta, d)


def ftrl(floating[::1] w not None, const floating[::1] g not None,
         floating[::1] z not None, floating[::1] n not None,
         double lr, double beta, double l1, double l2, double lr_power,
         double weight_decay, bint maximize, const Py_ssize_t[::1] indices=None):
    """σ = n'^−p − n^−p with n' = n + g²;  z ← z + αg − σw;  n ← n';
    w = 0 where |z| ≤ αλ₁, else −(z − sgn(z)αλ₁) / (β + n^−p + αλ₂).

    This z is α times the paper's, so that α may change from step to step, or be 0. An entry with
    g² = 0 has nothing to learn and is left alone, to the bit. With indices, which rise, g holds
    the gradients of these entries alone, and no other entry is read or written.
    """
    cdef Py_ssize_t i, k, size = w.shape[0], touched = g.shape[0]
    cdef floating alpha = <floating> lr, threshold = <floating> (lr * l1)
    cdef floating ridge = <floating> (beta + lr * l2), d, before, after, excess
    cdef floating sign = -1 if maximize else 1, decay = <floating> weight_decay
    cdef floating limit = 1e19 if floating is float else 1e154  # beyond it d² would overflow
    cdef bint square_root = lr_power == -0.5, everywhere = indices is None
    same_length(size, touched if everywhere else size, z.shape[0], n.shape[0])
    if not everywhere:
        same_length(touched, indices.shape[0])
        check_indices(indices, size)
    for k in prange(touched, nogil=True, num_threads=threads(), use_threads_if=touched >= THREADED):
        i = k if everywhere else indices[k]
        d = descent(g[k], w[i], sign, decay)
        if d * d == 0:
            continue
        d = limit if d > limit else (-limit if d < -limit else d)
        before = root(n[i]) if square_root else <floating> pow(n[i], -lr_power)
        n[i] = square_sum(n[i], d)
        after = root(n[i]) if square_root else <floating> pow(n[i], -lr_power)
        z[i] = z[i] + alpha * d - (after - before) * w[i]
        excess = <floating> fabs(z[i]) - threshold
        if excess <= 0:
            w[i] = 0
        else:
            w[i] = (-excess if z[i] > 0 else excess) / (ridge + after)


def lion(floating[::1] w not None, const floating[::1] g not None, floating[::1] m not None,
         double lr, double beta1, double beta2, double weight_decay, bint maximize):
    """w ← (1 − ηλ)w − η sgn(β₁m + (1 − β₁)g);  m ← β₂m + (1 − β₂)g."""
    cdef Py_ssize_t i, n = w.shape[0]
    cdef floating keep1 = <floating> beta1, fresh1 = <floating> (1 - beta1)
    cdef floating keep2 = <floating> beta2, fresh2 = <floating> (1 - beta2)
    cdef floating eta = <floating> lr, shrink = <floating> (1 - lr * weight_decay)
    cdef floating sign = -1 if maximize else 1, d, c
    same_length(n, g.shape[0], m.shape[0])
    for i in prange(n, nogil=True, num_threads=threads(), use_threads_if=n >= THREADED):
        d = sign * g[i]
        c = keep1 * m[i] + fresh1 * d
        c = 1 if c > 0 else (-1 if c < 0 else c)  # the sign; of 0 it is 0, of NaN NaN
        w[i] = shrink * w[i] - eta * c
        m[i] = keep2 * m[i] + fresh2 * d


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
