"""Charts for the README: SVG, the same bytes for the same numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib as mpl
from harness import ROOT
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

JOB, WORKER = "#1a7f37", "#bc4c00"

mpl.use("svg")
mpl.rcParams.update(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "class_activation",
        "font.family": "sans-serif",
        "font.size": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlelocation": "left",
    }
)


@contextmanager
def chart(name: str, width: float, height: float) -> Iterator[Axes]:
    """Draw on the axes, and find the chart in docs/NAME.svg."""
    figure, axes = plt.subplots(figsize=(width, height), layout="constrained")
    yield axes
    figure.savefig(ROOT / f"docs/{name}.svg", metadata={"Date": None})
    plt.close(figure)
