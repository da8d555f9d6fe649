"""Plots are whole documents, the same for the same numbers, and texts land in their place."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from bench.scale.charts import distribution, growth, rates, ticks
from bench.scale.documents import BEGIN, END, MarkersError, replaced
from bench.scale.svg import drawing

SVG = "{http://www.w3.org/2000/svg}"


def parsed(text: str) -> ET.Element:
    """Return the document of *text*, which this very repository wrote."""
    return ET.fromstring(text)  # noqa: S314  # our own


def texts(document: ET.Element) -> list[str]:
    """Return the texts of a plot."""
    return [each.text or "" for each in document.iter(f"{SVG}text")]


def test_a_distribution_is_plotted_with_its_figures() -> None:
    """What the curve shows is also said: how many, half, nearly all, the most."""
    document = parsed(
        distribution(
            "How old an <answer> was",
            {"one replica": [float(number) for number in range(1, 1001)]},
            bounds=[(100.0, "staleness + 50 ms")],
        )
    )

    said = texts(document)
    assert "How old an <answer> was" in said
    assert "one replica: 1,000; p50 501.0, p99 991.0, most 1000.0 ms" in said
    assert "staleness + 50 ms" in said
    assert len(list(document.iter(f"{SVG}polyline"))) == 2


def test_a_distribution_of_one_time_is_a_plot_too() -> None:
    document = parsed(distribution("one", {"all": [5.0]}))

    assert "all: 1; p50 5.0, p99 5.0, most 5.0 ms" in texts(document)


def test_a_distribution_rises_from_nobody_to_all() -> None:
    document = parsed(distribution("rise", {"all": [3.0, 1.0, 2.0]}))

    curve = next(document.iter(f"{SVG}polyline")).attrib["points"].split()
    heights = [float(point.split(",")[1]) for point in curve]
    assert heights == sorted(heights, reverse=True)
    assert (max(heights), min(heights)) == (256.0, 36.0)


def test_growth_and_rates_stand_in_one_document() -> None:
    """Cold and cached have one colour, and are told apart by the line."""
    curves = {
        "CheckAccess, cold": [(1e4, 1.0), (1e6, 1.1), (1e7, 1.3)],
        "CheckAccess, equal shares cached": [(1e4, 1.0), (1e6, 1.0), (1e7, 1.05)],
    }
    samples = {"10,000 recordings": [(0.0, 0.0), (60.0, 2e6), (120.0, 3e6)]}

    text = drawing([growth(curves, 1.2), rates(samples, 20_000.0)])

    document = parsed(text)
    lines = list(document.iter(f"{SVG}polyline"))
    assert len(lines) == 3
    assert [("stroke-dasharray" in line.attrib) for line in lines] == [False, True, False]
    assert lines[0].attrib["stroke"] == lines[1].attrib["stroke"]
    assert {"10,000", "1,000,000", "at most 1.2", "at least 20,000"} <= set(texts(document))
    assert text == drawing([growth(curves, 1.2), rates(samples, 20_000.0)])


@pytest.mark.parametrize(
    ("high", "written"),
    [
        pytest.param(1.32, ["0", "0.5", "1"], id="small"),
        pytest.param(23_000.0, ["0", "5,000", "10,000", "15,000", "20,000"], id="large"),
    ],
)
def test_axes_are_marked_at_round_values(high: float, written: list[str]) -> None:
    assert [label for _value, label in ticks(0.0, high)] == written


def test_results_take_their_place_in_the_document_again_and_again() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter\n"

    once = replaced(document, "new")

    assert once == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    assert replaced(once, "new") == once


@pytest.mark.parametrize(
    "document",
    [
        pytest.param("nothing", id="no-markers"),
        pytest.param(f"{END}\n{BEGIN}\n", id="wrong-order"),
        pytest.param(f"{BEGIN}\n{END}\n{BEGIN}\n{END}\n", id="twice"),
    ],
)
def test_a_document_without_a_place_is_left_alone(document: str) -> None:
    with pytest.raises(MarkersError, match="once and in order"):
        replaced(document, "new")
