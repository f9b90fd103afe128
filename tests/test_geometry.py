"""Names, ids and places of the 152 PEs."""

from __future__ import annotations

import pytest

from spinn2emu import geometry
from spinn2emu.errors import ConfigError

# Core numbering of the chip as SpiNNMachine describes it, written down independently of the source.
QUAD_ORDER = """
    (7,6) (7,5) (6,6) (6,5) (6,4) (5,4) (5,6) (3,6) (4,6) (5,5) (3,5) (4,5) (1,6) (2,6) (1,5) (2,5) (1,4) (2,4) (3,4)
    (1,1) (2,1) (1,2) (2,2) (1,3) (2,3) (3,3) (5,1) (3,1) (4,1) (5,2) (3,2) (4,2) (7,1) (6,1) (7,2) (6,2) (6,3) (5,3)
"""
EMPTY_POSITIONS = [(4, 3), (4, 4), (7, 3), (7, 4)]


def test_ids_follow_the_quads_in_the_order_of_the_chip() -> None:
    quads = [(int(q[1]), int(q[3])) for q in QUAD_ORDER.split()]
    expected = [geometry.Pe(x, y, p) for x, y in quads for p in range(4)]
    assert len(expected) == 152
    assert [geometry.position(pe) for pe in range(1, 153)] == expected


def test_names_and_ids_roundtrip() -> None:
    names = [geometry.name(pe) for pe in geometry.PE_IDS]
    assert len(set(names)) == 152
    assert [geometry.pe_id(name) for name in names] == list(range(1, 153))


def test_a_name_is_quad_column_quad_row_number() -> None:
    assert geometry.name(1) == "7.6.0"
    assert geometry.name(152) == "5.3.3"
    assert geometry.pe_id("1.1.2") == 79


def test_every_other_position_of_the_grid_holds_a_quad() -> None:
    grid = {(x, y) for x in range(1, 8) for y in range(1, 7)}
    assert grid - set(geometry.QUADS) == set(EMPTY_POSITIONS)


@pytest.mark.parametrize("quad", EMPTY_POSITIONS)
def test_positions_without_a_quad_have_no_pe(quad: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="no PE"):
        geometry.pe_id(f"{quad[0]}.{quad[1]}.0")


@pytest.mark.parametrize(
    "text", ["", "1.1", "1.1.4", "0.1.0", "8.1.0", "1.7.0", "1.1.1.1", "a.b.c", " 1.1.1", "1.1.1\n", "5"]
)
def test_bad_names_are_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        geometry.pe_id(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("pe", [-1, 0, 153])
def test_bad_ids_are_refused(pe: int) -> None:
    with pytest.raises(ConfigError, match=rf"id {pe}: ids are 1\.\.152"):
        geometry.position(pe)


def test_reserved_and_application_pes_partition_the_chip() -> None:
    assert {geometry.position(pe)[:2] for pe in geometry.RESERVED_IDS} == {(7, 6)}
    assert [*geometry.RESERVED_IDS, *geometry.APPLICATION_IDS] == list(geometry.PE_IDS)
    assert len(geometry.APPLICATION_IDS) == 148
