"""Charts for the README: small SVGs, the same bytes for the same numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

from harness import ROOT

JOB, WORKER, ORM, LOOP, PALE = "#1a7f37", "#bc4c00", "#8250df", "#57606a", "#d0d7de"


def rect(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2" fill="{fill}"/>'


def dot(x: float, y: float, fill: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}"/>'


def line(x1: float, y1: float, x2: float, y2: float, dash: str = "none") -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{LOOP}" stroke-dasharray="{dash}"/>'


def text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{words}</text>'


@contextmanager
def chart(name: str, width: int, height: int) -> Iterator[list[str]]:
    """Yield a list to fill with elements, then write them to docs/NAME.svg."""
    elements: list[str] = []
    yield elements
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>'
    )
    (ROOT / f"docs/{name}.svg").write_text("\n".join([head, *elements, "</svg>", ""]), encoding="utf-8")
