"""Draw the results: how the time of a step grows, and the memory bandwidth of the update rules."""

import numpy as np

from benchmarks.growth import curves

NAMES = {"captured": "minidl, captured"}
COLOURS = {"minidl": "blue", "captured": "black", "PyTorch": "vermilion", "JAX": "green"}
MARKERS = {"minidl": "o", "captured": "D", "PyTorch": "s", "JAX": "^"}
AXES = {  # title, label of x
    "parameters": ("larger networks", "parameters n, two hidden layers, batch 32"),
    "batch": ("larger batches", "examples n in a batch, 64-64-10"),
    "depth": ("deeper networks", "layers n of 8 units, batch 8"),
    "threads": ("more threads", "threads n, 784-2048-2048-10"),
}


def ticks(largest, curve):
    """Powers of ten (of two for threads), up to about the largest x."""
    base = 2 if curve == "threads" else 10
    return [base**k for k in range(round(np.log(largest) / np.log(base)) + 1)]


def draw_curve(axes, curve, lines):
    """Draw the step time against x, with the exponent of each line at its end."""
    from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullLocator

    from minidl.viz import plots, style

    title, label = AXES[curve]
    axes.set(xscale="log", yscale="log", xlabel=label)
    axes.set_title(title, loc="left")
    slopes = {}
    for who, (x, y, slope) in lines.items():
        name, colour = NAMES.get(who, who), style.COLOURS[COLOURS[who]]
        axes.plot(x, y, MARKERS[who] + "-", color=colour, ms=7, label=name)
        slopes[name] = "" if np.isnan(slope) else f"∝ n$^\\mathbf{{{slope:.2f}}}$"
    largest = max(x[-1] for x, *_ in lines.values())
    axes.xaxis.set_major_locator(FixedLocator(ticks(largest, curve)))
    if curve == "threads":
        axes.xaxis.set_major_formatter("{x:.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_major_formatter(EngFormatter("s"))
    axes.yaxis.set_minor_formatter("")
    plots.label_ends(axes, lambda line, value: slopes[line.get_label()], gap=0.1)


def draw_roofline(axes, rows):
    """Draw the bytes per second of each rule and the memory bandwidth, by the number of threads."""
    from minidl.viz import style

    speeds = {row.threads: row.value / 1e9 for row in rows if row.contestant == "in place"}
    fastest = max(speeds, key=speeds.get)
    for threads, speed in speeds.items():
        name, marker, dashes = ("blue", "o", "-") if threads > 1 else ("vermilion", "s", "--")
        colour, count = style.COLOURS[name], f"{threads} thread{'s' * (threads > 1)}"
        mine = [r for r in rows if (r.contestant, r.threads) == ("minidl", threads)]
        rates = [float(r.note.split()[0].replace(",", "")) / r.value / 1e9 for r in mine]
        axes.plot(rates, [r.task for r in mine], marker, ms=8, color=colour, label=count)
        axes.axvline(speed, color=colour, ls=dashes, lw=1.6, zorder=1)
        axes.annotate(
            f"memory, {count}: {speed:.0f} GB/s", (speed, 1), (4 if threads == fastest else -4, 4),
            xycoords=("data", "axes fraction"), textcoords="offset points", color=colour,
            weight="bold", ha="left" if threads == fastest else "right",
        )  # fmt: skip
    axes.set_title("update rules, and the memory's limit", loc="left", pad=30)
    axes.set_xlim(0, 1.35 * max(speeds.values()))
    axes.invert_yaxis()
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.set_xlabel("GB/s moved by an update of 20 million weights")
    axes.legend(loc="lower left")


def draw(parts, path):
    """Write the figure of {part: rows}, and return it; panels without data stay empty."""
    from minidl.viz import plots, style

    with style.context():
        figure = plots.new_figure(figsize=(13, 10.5))
        upper, lower = figure.subfigures(2)
        lines = curves(parts.get("growth", ()))
        panels = [*upper.subplots(1, 3), *lower.subplots(1, 2, width_ratios=[1, 2])]
        for panel in (panels[0], panels[3]):
            panel.set_ylabel("time of a training step")
        for panel, (curve, found) in zip(panels, lines.items(), strict=False):
            if found:
                draw_curve(panel, curve, found)
        handles, labels = panels[0].get_legend_handles_labels()
        if handles:
            upper.legend(handles, labels, loc="outside upper left", ncols=len(handles))
        if "roofline" in parts:
            draw_roofline(panels[4], parts["roofline"])
        plots.save(figure, path)
    return figure
