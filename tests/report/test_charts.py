"""Charts: drawn of every figure, of none, and in colours that everybody can tell apart."""

import itertools
import json
import math
import re
from collections.abc import Iterator

import pytest

from orchestration.report.charts import CHARTS, CONFIG, GROUND, PALETTE, STEPS, specification
from orchestration.report.page import SECTIONS
from orchestration.report.reports import Report

Colour = tuple[float, float, float]

# What is behind the charts, by light and by dark.
PAPER = GROUND["paper"]
# Machado, Oliveira, Fernandes 2009: how linear RGB is seen without red, without green, and by most.
SIGHTS = {
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "most people": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
# In CIE 1976 units; from about 2 on people see a difference when they look for it.
APART = 12


def _linear(code: str) -> Colour:
    red, green, blue = (int(code[at : at + 2], 16) / 255 for at in (1, 3, 5))

    def straight(part: float) -> float:
        return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)

    return straight(red), straight(green), straight(blue)


def _lab(rgb: Colour) -> Colour:
    red, green, blue = rgb
    x = (0.4124 * red + 0.3576 * green + 0.1805 * blue) / 0.9505
    y = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    z = (0.0193 * red + 0.1192 * green + 0.9505 * blue) / 1.089

    def root(part: float) -> float:
        return float(part ** (1 / 3)) if part > 0.008856 else 7.787 * part + 16 / 116

    return 116 * root(y) - 16, 500 * (root(x) - root(y)), 200 * (root(y) - root(z))


def _seen(code: str, sight: str) -> Colour:
    rgb = _linear(code)
    red, green, blue = (
        min(1.0, max(0.0, sum(weight * part for weight, part in zip(row, rgb, strict=True))))
        for row in SIGHTS[sight]
    )
    return _lab((red, green, blue))


def _contrast(one: str, other: str) -> float:
    lights = []
    for code in (one, other):
        red, green, blue = _linear(code)
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue)
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("name", PALETTE)
def test_a_colour_stands_out_from_the_paper(name: str) -> None:
    for code, paper in zip(PALETTE[name], PAPER, strict=True):
        assert _contrast(code, paper) >= 3, (code, paper)


@pytest.mark.parametrize("key", CHARTS)
def test_colours_of_one_chart_are_told_apart_without_red_or_green(
    key: str, sample_report: Report
) -> None:
    figure = next(
        panel.figure or panel.chart
        for section in SECTIONS
        for panel in section.panels
        if panel.chart == key
    )
    chart = specification(key, sample_report.figures[figure], "EUR")
    for used in _scales(chart):
        names = [name for name in used if name in PALETTE]
        for mode, sight, (one, other) in itertools.product(
            (0, 1), SIGHTS, itertools.combinations(names, 2)
        ):
            seen = [_seen(PALETTE[name][mode], sight) for name in (one, other)]
            assert math.dist(*seen) >= APART, (sight, PAPER[mode], one, other)


def _scales(part: object) -> Iterator[list[str]]:
    """The names of the colours of every scale in a chart."""
    if isinstance(part, dict):
        scale = part.get("scale")
        if isinstance(scale, dict) and isinstance(scale.get("range"), list):
            yield [str(code).removeprefix("var(--").removesuffix(")") for code in scale["range"]]
        for inner in part.values():
            yield from _scales(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _scales(inner)


def test_colours_of_a_chart_that_names_none_are_told_apart() -> None:
    for mode, sight in itertools.product((0, 1), SIGHTS):
        for one, other in itertools.combinations(CONFIG["range"]["category"], 2):
            names = [code.removeprefix("var(--").removesuffix(")") for code in (one, other)]
            seen = [_seen(PALETTE[name][mode], sight) for name in names]
            assert math.dist(*seen) >= APART, (sight, PAPER[mode], *names)


def test_steps_of_a_heat_map_go_one_way() -> None:
    for mode, paper in enumerate(PAPER):
        contrasts = [_contrast(step[mode], paper) for step in STEPS]
        assert contrasts == sorted(contrasts)


@pytest.mark.parametrize("key", CHARTS)
def test_a_chart_is_drawn_of_no_rows_too(key: str) -> None:
    assert specification(key, [], "")["width"] == "container"


def test_a_chart_has_no_colour_that_the_page_does_not_know(sample_report: Report) -> None:
    known = {*GROUND, *PALETTE, *(f"step-{step}" for step in range(len(STEPS)))}
    for section in SECTIONS:
        for panel in section.panels:
            found = sample_report.figures[panel.figure or panel.chart]
            chart = json.dumps(specification(panel.chart, found, "EUR"))
            assert {*re.findall(r"var\(--([\w-]+)\)", chart)} <= known
            assert not re.search(r'"#[0-9a-fA-F]{3,8}"', chart)
