"""The linker: where regions lie, what they hold, what does not fit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu.errors import ConfigError, ProgramError, SramOverflow
from spinn2emu.program import Fifo, NoParameters, Program, Region
from spinn2emu.registers import system_regions
from spinn2emu.sram import MemoryMap, align, lay_out

DATA_BASE, DATA_END, SRAM = 0x8000, 0x1F000, 0x20000
SYSTEM_NAMES = ["sys", "keys", "spaces", "index_bits", "phases", "random", "log", "fifo"]
RECORD = np.dtype([("a", "<i4"), ("b", "u1")])

FIFO = Fifo(64)

dtypes = st.sampled_from([np.uint8, np.int16, np.uint32, np.float32, np.int64, RECORD])
shapes = st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple)
region_lists = st.lists(st.tuples(dtypes, shapes), max_size=12).map(
    lambda items: [Region(f"r{i}", dtype, shape) for i, (dtype, shape) in enumerate(items)]
)


def place(regions: list[Region], fifo: Fifo = FIFO) -> MemoryMap:
    return lay_out(program(regions, fifo), NoParameters())[0]


def program(regions: list[Region], fifo: Fifo = FIFO) -> Program:
    return Program(tick=lambda pe, ram, rx, t: 0, regions=lambda p, available: regions, fifo=fifo, name="the.program")


@given(region_lists, st.integers(1, 500))
def test_regions_are_aligned_disjoint_and_in_the_data_space(regions: list[Region], depth: int) -> None:
    symbols = place(regions, Fifo(depth)).symbols
    assert [symbol.name for symbol in symbols] == SYSTEM_NAMES + [region.name for region in regions]
    end = DATA_BASE
    for symbol in symbols:
        assert symbol.address % 16 == 0
        assert end <= symbol.address < end + 16
        end = symbol.address + symbol.nbytes
    assert end <= DATA_END


@given(region_lists)
def test_used_and_free_add_up_to_the_data_space(regions: list[Region]) -> None:
    memory = place(regions)
    assert memory.used + memory.free == DATA_END - DATA_BASE
    assert memory.used >= sum(region.nbytes for region in [*system_regions(), *regions])


@given(region_lists)
def test_views_have_the_declared_shape_and_write_through(regions: list[Region]) -> None:
    sram, expected = np.zeros(SRAM, np.uint8), np.zeros(SRAM, np.uint8)
    memory = place(regions)
    for number, region in enumerate(regions, 1):
        symbol = memory[region.name]
        view = symbol.view(sram)
        assert (view.dtype, view.shape) == (np.dtype(region.dtype), region.shape)
        view.reshape(-1).view(np.uint8)[:] = number
        expected[symbol.address : symbol.address + symbol.nbytes] = number
    assert (sram == expected).all()


def test_a_program_sees_how_much_is_left_for_it() -> None:
    seen: list[int] = []

    def fill(parameters: NoParameters, available: int) -> list[Region]:
        seen.append(available)
        return [Region("all", np.uint8, (available,))]

    memory, _ = lay_out(Program(tick=lambda: 0, regions=fill, name="greedy"), NoParameters())
    assert memory.free == 0
    assert memory["all"].nbytes == seen[0] < DATA_END - DATA_BASE


@pytest.mark.parametrize("surplus", [1, 16, 1_000_000])
def test_an_overflow_says_who_how_much_and_shows_the_map(surplus: int) -> None:
    free = place([]).free
    with pytest.raises(SramOverflow) as caught:
        place([Region("small", np.int64, (2,)), Region("big", np.uint8, (free - 16 + surplus,))])
    error, limit = caught.value, DATA_END - DATA_BASE
    assert (error.program, error.needed, error.limit) == ("the.program", limit + surplus, limit)
    for text in (
        "the.program",
        str(error.needed),
        str(error.limit),
        f"{surplus} too many",
        *SYSTEM_NAMES,
        "small",
        "big",
    ):
        assert text in str(error)


def test_what_fits_exactly_is_placed() -> None:
    free = place([]).free
    assert place([Region("big", np.uint8, (free,))]).free == 0


def test_the_fifo_is_accounted_for() -> None:
    assert place([], Fifo(100, payload_bytes=16))["fifo"].nbytes == 100 * (4 + 16)
    with pytest.raises(SramOverflow, match="fifo"):
        place([], Fifo(100_000))


@pytest.mark.parametrize("name", SYSTEM_NAMES)
def test_names_of_the_system_are_refused(name: str) -> None:
    with pytest.raises(ProgramError, match=r"the\.program: region names"):
        place([Region(name, np.uint8, (1,))])


def test_repeated_names_are_refused() -> None:
    with pytest.raises(ProgramError, match="repeat"):
        place([Region("x", np.uint8, (1,)), Region("x", np.uint8, (2,))])


def test_initial_values_are_returned_by_name() -> None:
    regions = [Region("x", np.uint8, (1,), init=3), Region("y", np.uint8, (1,))]
    assert lay_out(program(regions), NoParameters())[1] == {"x": 3}


def test_an_unknown_symbol_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no region 'y'; it has sys, .*, fifo, x"):
        place([Region("x", np.uint8, (1,))])["y"]


def test_the_map_prints_every_region_with_address_and_size() -> None:
    lines = str(place([Region("x", np.float32, (3, 5))])).splitlines()
    assert lines[0].split() == ["0x08000", "128", "B", "sys", "<i8[16]"]
    assert lines[-2].split()[1:] == ["60", "B", "x", "<f4[3,", "5]"]
    assert lines[-1].startswith("free")


@given(st.integers(0, SRAM))
def test_align_goes_up_to_the_next_multiple(address: int) -> None:
    assert align(address) % 16 == 0 and address <= align(address) < address + 16
