"""`python -m bench.plots RESULT.json... --out DIR`: results as pictures.

RESULT is what `python -m bench.scaling --json` (or `python -m bench`) wrote, which gives
DIR/scaling.svg, or `python -m bench.endurance --json`, which gives DIR/endurance.svg. Of
several results of a kind all that they have in common goes into one picture.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CHANGES = "1 px", "64x64", "25 %", "full"
QUESTIONS = {"latency": "to screen, ms", "viewer_cpu": "viewer CPU, ms"}
STYLES = {"map": "-", "bytes": "--", "dmabuf": ":"}
COLOURS = "#666666", "#1f77b4", "#d95f02", "#2ca02c", "#9467bd"


class Line(NamedTuple):
    """A curve: its panel (change, question), name and way of the pixels, and its points."""

    panel: tuple[str, str]
    viewer: str
    via: str
    points: list[tuple[float, float]]


def lines(updates: Iterable[dict[str, Any]]) -> list[Line]:
    """Medians in ms over the millions of pixels of the screen, as `report.Update` has them."""
    found: dict[tuple[tuple[str, str], str, str], list[tuple[float, float]]] = {}
    for update in updates:
        for question in QUESTIONS:
            if values := update[question]:
                key = (update["change"], question), update["viewer"], update["via"]
                found.setdefault(key, []).append((_megapixels(update), 1000 * median(values)))
    return [Line(*key, sorted(points)) for key, points in found.items()]


def _megapixels(update: dict[str, Any]) -> float:
    return float(update["width"] * update["height"] / 1e6)


def scaling(results: Sequence[dict[str, Any]]) -> Figure:
    """A row for each question, a column for each kind of change."""
    updates = [update for result in results for update in result["updates"]]
    drawn = lines(updates)
    sizes = sorted({(_megapixels(update), f"{update['height']}p") for update in updates})
    changes = [change for change in CHANGES if any(line.panel[0] == change for line in drawn)]
    figure, axes = _panels(len(QUESTIONS), len(changes))
    names = list(dict.fromkeys(line.viewer for line in drawn))
    for line in drawn:
        change, question = line.panel
        axis = axes[list(QUESTIONS).index(question)][changes.index(change)]
        colour = COLOURS[names.index(line.viewer) % len(COLOURS)]
        label = f"{line.viewer}, {line.via}"
        style = STYLES.get(line.via, "-.")
        axis.plot(*zip(*line.points, strict=True), style, color=colour, label=label)
    for row, what in zip(axes, QUESTIONS.values(), strict=True):
        row[0].set_ylabel(what)
        for axis in row:
            axis.set(xscale="log", yscale="log")
            axis.yaxis.set_major_formatter("{x:g}")
            axis.set_xticks([size for size, _ in sizes], [name for _, name in sizes])
            axis.minorticks_off()
            axis.tick_params(length=0)
            axis.grid(visible=True, linewidth=0.3)
    for axis, change in zip(axes[0], changes, strict=True):
        axis.set_title(f"change: {change}")
    for axis in axes[-1]:
        axis.set_xlabel("screen")
    _name_the_lines(figure, axes[0][0])
    return figure


def endurance(results: Sequence[dict[str, Any]]) -> Figure:
    """Resident memory over time, of the viewer and of the source."""
    floods = [flood for result in results for flood in result["floods"]]
    figure, axes = _panels(1, 2)
    names = list(dict.fromkeys((flood["via"], flood["change"]) for flood in floods))
    for flood in floods:
        colour = f"C{names.index((flood['via'], flood['change']))}"
        style = "-" if "shm" in flood["name"] else "--"
        label = f"{flood['name']}, {flood['via']} {flood['change']}"
        for axis, who in zip(axes[0], ("viewer", "source"), strict=True):
            axis.plot(flood["times"], flood[who], style, color=colour, label=label)
            axis.set(title=f"memory of the {who}, MiB", xlabel="seconds of flood", ylim=(0, None))
    _name_the_lines(figure, axes[0][0])
    return figure


def _panels(rows: int, columns: int) -> tuple[Figure, list[list[Axes]]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(2.7 * columns + 0.5, 2.4 * rows + 0.8), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey="row", squeeze=False)
    return figure, axes.tolist()


def _name_the_lines(figure: Figure, axis: Axes) -> None:
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)


KINDS = {"updates": scaling, "floods": endurance}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw whatever the results are of."""
    parser = argparse.ArgumentParser(prog="python -m bench.plots", description=__doc__)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR")
    args = parser.parse_args(argv)
    results = [json.loads(path.read_text()) for path in args.results]
    args.out.mkdir(parents=True, exist_ok=True)
    for kind, draw in KINDS.items():
        if chosen := [result for result in results if kind in result]:
            path = args.out / f"{draw.__name__}.svg"
            _save(draw(chosen), path)
            print(path)
    return 0


def _save(figure: Figure, path: Path) -> None:
    """As text that a browser sets, and the same for the same figures."""
    import matplotlib as mpl

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "glview"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    sys.exit(main())
