"""Draw the results: how the time of a step grows, and the memory bandwidth of the update rules."""

import itertools

import numpy as np

from benchmarks.growth import curves

COLOURS = {"minidl": "#0072B2", "PyTorch": "#D55E00", "JAX": "#009E73"}  # Okabe-Ito palette
COLOURS["captured"] = "#CC79A7"
MARKERS = {"minidl": "o", "captured": "D", "PyTorch": "s", "JAX": "^"}
AXES = {
    "parameters": "parameters, two hidden layers, batch 32",
    "batch": "examples in a batch, 64-64-10",
    "depth": "layers of 8 units, batch 8",
    "threads": "threads, 784-2048-2048-10, batch 256",
}
GREY = "0.45"


def spread_out(heights, gap):
    """The heights, increased where necessary to be at least `gap` apart."""
    moved, order = np.array(heights, float), np.argsort(heights)
    for below, above in itertools.pairwise(order):
        moved[above] = max(moved[above], moved[below] + gap)
    return moved


def ticks(largest, curve):
    """Powers of ten (of two for threads), up to about the largest x."""
    base = 2 if curve == "threads" else 10
    return [base**k for k in range(round(np.log(largest) / np.log(base)) + 1)]


def draw_curve(axes, curve, lines):
    """Draw the step time against x; label each line at its end with the library and the slope."""
    from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullLocator

    axes.set(xscale="log", yscale="log", xlabel=AXES[curve])
    axes.grid(color="0.92")
    for who, (x, y, _) in lines.items():
        axes.plot(x, y, MARKERS[who] + "-", color=COLOURS[who], ms=5, lw=1.6)
    low, high = np.log(axes.get_xlim())
    axes.xaxis.set_major_locator(FixedLocator(ticks(max(x[-1] for x, *_ in lines.values()), curve)))
    if curve == "threads":
        axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(np.exp(low), np.exp(high + 0.6 * (high - low)))
    low, high = np.log(axes.get_ylim())
    narrow = high - low < np.log(100)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_minor_formatter("")
    axes.set_ylim(np.exp(low), np.exp(high + 0.1 * (high - low)))
    ends = [np.log(y[-1]) for _, y, _ in lines.values()]
    heights = spread_out(ends, 0.07 * (high - low))
    for (who, (x, _, slope)), height in zip(lines.items(), heights, strict=True):
        slope = "" if np.isnan(slope) else f" ∝ n$^{{{slope:.2f}}}$"
        axes.annotate(
            who + slope,
            (x[-1], np.exp(height)),
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            color=COLOURS[who],
            bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},
        )


def draw_roofline(axes, rows):
    """Draw the bytes per second of each rule and the memory bandwidth, by the number of threads."""
    speeds = {row.threads: row.value / 1e9 for row in rows if row.contestant == "in place"}
    fastest = max(speeds, key=speeds.get)
    for threads, speed in speeds.items():
        colour, marker = ("#0072B2", "o") if threads > 1 else ("#882255", "s")
        mine = [r for r in rows if (r.contestant, r.threads) == ("minidl", threads)]
        rates = [float(r.note.split()[0].replace(",", "")) / r.value / 1e9 for r in mine]
        axes.plot(rates, [r.task for r in mine], marker, ms=6, color=colour)
        axes.axvline(speed, color=colour, ls="-" if threads > 1 else "--")
        axes.annotate(
            f"in place, {threads} thread{'s' * (threads > 1)}: {speed:.0f} GB/s",
            (speed, 1),
            xytext=(4 if threads == fastest else -4, 4),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="left" if threads == fastest else "right",
            color=colour,
        )
    axes.set_xlim(0, 1.35 * speeds[fastest])
    axes.invert_yaxis()
    axes.grid(color="0.92")
    axes.set_xlabel("GB/s moved by an update of 20 million weights")


def draw(parts, path):
    """Write the figure of {part: rows}; panels without data stay empty."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 9), dpi=120, layout="constrained")
    upper, lower = figure.subfigures(2)
    lines = curves(parts.get("growth", ()))
    panels = [*upper.subplots(1, 3), *lower.subplots(1, 2, width_ratios=[1, 2])]
    for panel, (curve, found) in zip(panels, lines.items(), strict=False):
        if found:
            draw_curve(panel, curve, found)
    for panel in (panels[0], panels[3]):
        panel.set_ylabel("time of a training step")
    if "roofline" in parts:
        draw_roofline(panels[4], parts["roofline"])
    figure.savefig(path)
