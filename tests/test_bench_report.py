"""The page of benchmarks: its markers, and the tables made from measurements."""

from __future__ import annotations

import json

import pytest
from bench import report


def value(median: float, unit: str = "ms per batch") -> dict[str, object]:
    return {"unit": unit, "median": median, "min": median / 2, "max": median * 2, "rounds": 9}


RESULTS = {"chip_full": value(4.0), "offchip_full": value(0.2), "torch_full": value(8.0)}


MACHINE = {
    "cpu": "C", "cores": 2, "system": "Linux", "versions": {"python": "3"}, "changed": False, "date": "2026-01-01",
}  # fmt: skip


def test_every_number_stands_beside_its_floor_and_its_peer() -> None:
    chip, torch, offchip = report.table(RESULTS)[2:]
    assert chip.endswith("| **4.00 ms** | 2.00 – 8.00 (9) | 9 ms, stretch 5 | 20.0 | 0.500 |")
    assert "**8.00 ms**" in torch and torch.endswith("| 40.0 |  |")
    assert "**0.200 ms**" in offchip and offchip.endswith("|  | 0.0250 |")


@pytest.mark.parametrize(("number", "text"), [(8850.2, "8,850"), (38.14, "38.1"), (0.00791, "0.00791")])
def test_numbers_have_three_digits(number: float, text: str) -> None:
    assert report.number(number) == text


def curve(*points: tuple[int, float]) -> dict[str, object]:
    measured = [{"value": v, "chip": {**value(ms), "spikes": 7.0}, "offchip": value(1.0)} for v, ms in points]
    return {"parameter": "batch", "points": measured, "limit": {"value": 99, "message": "too many"}}


def test_what_grows_faster_than_its_parameter_is_marked() -> None:
    lines = report.growth_table({"batch": curve((1, 1.0), (2, 2.0), (4, 16.0))})[2:]
    assert [line.split(" | ")[3] for line in lines[:3]] == ["", "1.00", "3.00 (!)"]
    assert "99 | refused: too many" in lines[3]


def test_what_was_measured_again_has_a_table_of_its_own() -> None:
    first = {**MACHINE, "commit": "aaa"}
    data = {"machine": first, "results": RESULTS, "growth": None, "later": []}
    for commit, names in (("bbb", ["torch_full", "chip_full"]), ("ccc", ["torch_full"]), ("ddd", ["chip_full"])):
        run = {"machine": {**MACHINE, "commit": commit}, "results": {name: value(9.0) for name in names}}
        data = report.add(data, run)
    lines = report.section(data).splitlines()
    assert [line.split("commit ")[1][:3] for line in lines if "commit" in line] == ["aaa", "ccc", "ddd"]
    assert [line.split("**")[1] for line in lines if "**" in line] == ["0.200 ms", "9.00 ms", "9.00 ms"]
    assert "0.0250" in report.section(data)  # beside the peer of its own run


def test_the_page_has_room_for_them_and_shows_what_was_measured() -> None:
    page, data = report.PAGE.read_text(), json.loads(report.DATA.read_text())
    assert page.count(report.BEGIN) == page.count(report.END) == 1
    assert report.insert(page, report.section(data)) == page
    measured = {name for run in (data, *data["later"]) for name in run["results"]}
    assert report.FIGURE.exists() and {row.name for row in report.ROWS} == measured
