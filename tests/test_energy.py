"""Power and energy: the measured table, configurations, and the model, checked by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest

from spinn2emu import geometry, spec
from spinn2emu.cost import ZERO, Interval
from spinn2emu.errors import ConfigError
from spinn2host.energy import configurations, model, power


def test_power_of_a_pe_is_the_measured_difference() -> None:
    low, high = power.LEVELS["0.5V"], power.LEVELS["0.8V"]
    # (235.4 - 75.2) / 152, (424.6 - 235.4) / 152, (564.7 - 75.2) / 152, (1247.9 - 564.7) / 152
    assert low.asleep.central == pytest.approx(160.2 / 152) and low.busy.central == pytest.approx(189.2 / 152)
    assert high.asleep.central == pytest.approx(489.5 / 152) and high.busy.central == pytest.approx(683.2 / 152)
    assert [round(x, 2) for x in (low.asleep.central, low.busy.central)] == [1.05, 1.24]
    assert [round(x, 2) for x in (high.asleep.central, high.busy.central)] == [3.22, 4.49]


def test_intervals_say_what_the_sources_leave_open() -> None:
    assert power.CHIP == (75.15, 75.2, 75.25)
    for level in power.LEVELS.values():
        assert level.asleep.high - level.asleep.low == pytest.approx(4 * 0.05 / 152)
        assert level.busy.low == 0 and level.busy.high == pytest.approx(2 * (level.busy.central + 0.1 / 152))


@pytest.mark.parametrize("name", ["power", "configurations", "model", "timeline", "collect"])
def test_figures_are_compared_with_the_poster_and_never_computed_from_it(name: str) -> None:
    assert "POSTER" not in (Path(power.__file__).parent / f"{name}.py").read_text(encoding="utf-8")


def test_every_power_is_used() -> None:
    source = Path(power.__file__).read_text(encoding="utf-8")
    powers = [name for name in vars(spec) if name.startswith("POWER_")]
    assert len(powers) == 7 and all(f"spec.{name}" in source for name in powers)


def test_configurations_name_levels_that_exist() -> None:
    assert len(configurations.CONFIGURATIONS) >= 9
    for name, each in configurations.CONFIGURATIONS.items():
        assert configurations.configuration(name) is each and each.name == name
        assert {each.level, each.unused} <= {None, *power.LEVELS}
    texts = {each.text for each in configurations.CONFIGURATIONS.values()}
    assert len(texts) == len(configurations.CONFIGURATIONS)


def test_default_is_300_mhz_with_unused_pes_off() -> None:
    default = configurations.configuration(configurations.DEFAULT)
    assert default.text == "PEs at 0.8 V, 300 MHz, asleep between ticks; unused PEs off"
    assert power.LEVELS[default.level or ""].clock_hz == spec.PE_CLOCK_HZ.value == 300_000_000
    assert configurations.of_levels([]) is configurations.of_levels(["0.8V", "0.8V"]) is default
    assert configurations.of_levels(["0.5V"]).name == "0.5V-off"
    assert configurations.of_levels(["0.5V", "0.8V"]).name == configurations.AS_RUN


def test_unknown_configuration_lists_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no configuration '0.6V-off' .*0\.5V-off, .*0\.8V-off") as caught:
        configurations.configuration("0.6V-off")
    assert "0.8V-off" in caught.value.configurations


def usage_of_timing(ticks: int = 61, batch: int = 22) -> model.Usage:
    """The prototype's: layer 1 is busy 2.3% of the time at 150 MHz, layer 2 0.6%, loss and input 0.2%; and one PE for
    Adam, which takes 0.5 M cycles."""
    cycles = ticks * spec.TICK_NS.value * 150 / 1000
    shares = {"input": 0.002, "layer 1": 0.023, "layer 2": 0.006, "loss": 0.002}
    rows = []
    for b in range(batch):
        for i, (role, share) in enumerate(shares.items()):
            busy = share * cycles
            for phase, part in (("forward", 31 / 61), ("backward", 30 / 61)):
                each = Interval(0.9 * busy * part, busy * part, 1.3 * busy * part)
                rows.append(model.Row(5 + 4 * b + i, role, role, phase, "0.8V", ticks * part, each, 20_000.0))
    adam = Interval(400_000.0, 500_000.0, 700_000.0)
    rows.append(model.Row(149, "optimizer", "adam", "update", "0.8V", 1, adam, 500_000.0))
    return model.Usage(rows, ticks, 1, batch)


TABLE = {
    "0.5V-off": (170, 10.4, 0.47),
    "0.5V-asleep": (236, 14.4, 0.66),
    "0.8V-off": (363, 22.2, 1.01),
    "0.8V-asleep-0.5V": (430, 26.2, 1.19),
    "0.8V-asleep": (566, 34.6, 1.57),
    "0.5V-all-busy": (425, 25.9, 1.18),
}
"""mW, mJ per batch, mJ per sample, as the prototype had them."""


@pytest.mark.parametrize("name", TABLE)
def test_table_of_the_prototype_comes_out(name: str) -> None:
    mw, mj, mj_per_sample = TABLE[name]
    result = model.estimate(usage_of_timing(), configurations.configuration(name))
    assert result.ms == 61
    assert 1000 * result.power_w.central == pytest.approx(mw, abs=0.6)
    assert result.mj.central == pytest.approx(mj, abs=0.05)
    assert result.mj.central / 22 == pytest.approx(mj_per_sample, abs=0.005)


def test_all_pes_busy_or_asleep_draw_what_was_measured() -> None:
    rows = [model.Row(pe, "all", "all", "run", "0.8V", 1000, ZERO, 0.0) for pe in geometry.PE_IDS]
    usage = model.Usage(rows, 1000)
    expected = {"0.5V-off": 0.2354, "0.8V-off": 0.5647, "0.5V-off-busy": 0.4246, "0.8V-all-busy": 1.2479}
    for name, watts in expected.items():
        assert model.estimate(usage, configurations.configuration(name)).power_w.central == pytest.approx(watts)
    off = model.estimate(model.Usage([], 1000), configurations.configuration("0.8V-off"))
    assert off.power_w == pytest.approx((0.07515, 0.0752, 0.07525))


def test_one_pe_by_hand() -> None:
    # 10 ticks; 30,000 cycles at 300 MHz are 0.1 ms: 10 ms * (75.2 + 3.2204) mW + 0.1 ms * 4.4947 mW
    rows = [model.Row(5, "a", "a", "run", "0.8V", 10, Interval(30_000, 30_000, 30_000), 30_000.0)]
    result = model.estimate(model.Usage(rows, 10), configurations.configuration("0.8V-off"))
    assert result.mj.central == pytest.approx((10 * (75.2 + 489.5 / 152) + 0.1 * 683.2 / 152) / 1000)
    assert result.by_role["a"].busy_ms.central == pytest.approx(0.1)
    assert result.longest_ms == {"a": pytest.approx(0.1)}
    assert result.static_mj.central == pytest.approx(10 * (75.2 + 489.5 / 152) / 1000)
    slow = model.estimate(model.Usage(rows, 10), configurations.configuration("0.5V-off"))
    assert slow.by_role["a"].busy_ms.central == pytest.approx(0.2)


def test_rows_of_several_batches_are_shared_out() -> None:
    rows = [
        model.Row(pe, "a", "a", "run", "0.8V", 30, Interval(9e4, 9e4, 9e4), longest)
        for pe, longest in ((5, 6e4), (6, 3e4))
    ]
    usage = model.Usage(rows, 10, batches=3, samples=2)
    result = model.estimate(usage, configurations.configuration("0.8V-asleep"))
    assert result.mj.central == pytest.approx((10 * (75.2 + 489.5) + 2 * 0.1 * 683.2 / 152) / 1000)
    assert result.static_mj.central == pytest.approx(10 * (75.2 + 489.5) / 1000)
    assert result.longest_ms == {"a": pytest.approx(0.2)}  # of any PE
    slow = model.estimate(usage, configurations.configuration("0.5V-off"))
    assert slow.longest_ms == {"a": pytest.approx(0.4)}


def test_parts_add_up_and_intervals_are_in_order() -> None:
    usage = usage_of_timing()
    for each in configurations.CONFIGURATIONS.values():
        result = model.estimate(usage, each)
        for parts in (result.by_role, result.by_phase):
            assert sum((part.mj for part in parts.values()), ZERO) == pytest.approx(result.mj)
        for interval in (result.mj, result.static_share, *(part.mj for part in result.by_phase.values())):
            assert interval.low <= interval.central <= interval.high
        assert sum(result.pe_mw.values()) + 75.2 == pytest.approx(1000 * result.power_w.central)
        assert set(result.by_role) >= {"chip", "input", "layer 1", "layer 2", "loss", "optimizer"}
        assert set(result.by_phase) >= {"chip", "forward", "backward", "update", "waiting"}


def test_timing_assumptions_move_the_power_little_while_pes_sleep() -> None:
    result = model.estimate(usage_of_timing(), configurations.configuration("0.8V-off"))
    assert 1000 * (result.power_w.high - result.power_w.low) < 5


def test_a_program_of_unknown_cost_has_bounds_and_no_central_figure() -> None:
    rows = [model.Row(5, "a", "mine", "run", "0.8V", 10, model.UNKNOWN, math.nan)]
    usage = model.Usage(rows, 10)
    result = model.estimate(usage, configurations.configuration("0.8V-off"))
    assert usage.unknown == ["mine"] and math.isnan(result.mj.central) and result.longest_ms == {}
    level = power.LEVELS["0.8V"]
    assert result.mj.low == pytest.approx((power.CHIP.low + level.asleep.low) / 100)
    assert result.mj.high == pytest.approx((power.CHIP.high + level.asleep.high + level.busy.high) / 100)
    assert result.pe_mw[5] == pytest.approx(level.asleep.low)
    two = [row._replace(phase=phase, ticks=5) for phase, row in zip("ab", 2 * rows, strict=True)]
    two[0] = two[0]._replace(cycles=Interval(9e6, math.nan, math.inf))  # 30 ms
    assert model.estimate(model.Usage(two, 10), configurations.configuration("0.8V-off")).by_role["a"].busy_ms.low == 5
    busy = model.estimate(usage, configurations.configuration("0.8V-off-busy"))
    assert busy.mj.central == pytest.approx((75.2 + level.asleep.central + level.busy.central) / 100)


def test_a_pe_that_overruns_is_busy_all_the_time_and_not_longer() -> None:
    rows = [model.Row(5, "a", "a", "run", "0.8V", 10, Interval(2e6, 4e6, 8e6), 4e5)]
    result = model.estimate(model.Usage(rows, 10), configurations.configuration("0.8V-off"))
    assert result.by_role["a"].busy_ms == pytest.approx((2e6 / 3e5, 10, 10))
    assert result.longest_ms["a"] == pytest.approx(4 / 3)


def test_a_pe_may_change_its_level() -> None:
    # 4 ms at 0.5 V, of which 150,000 cycles at 150 MHz are 1 ms busy; 6 ms at 0.8 V, asleep
    rows = [
        model.Row(5, "a", "a", "run", "0.5V", 4, Interval(15e4, 15e4, 15e4), 0.0),
        model.Row(5, "a", "a", "run", "0.8V", 6, ZERO, 0.0),
    ]
    usage = model.Usage(rows, 10)
    expected = 10 * 75.2 + 4 * 160.2 / 152 + 1 * 189.2 / 152 + 6 * 489.5 / 152
    as_run = model.estimate(usage, configurations.configuration(configurations.AS_RUN))
    assert as_run.mj.central == pytest.approx(expected / 1000)
    assert configurations.of_levels(row.level for row in rows).name == configurations.AS_RUN
    fast = model.estimate(usage, configurations.configuration("0.8V-off"))
    assert fast.mj.central == pytest.approx((10 * (75.2 + 489.5 / 152) + 0.5 * 683.2 / 152) / 1000)


def test_a_clock_may_need_more_ticks() -> None:
    usage = dataclasses.replace(usage_of_timing(), ticks_at={"0.5V": 64})
    slow = model.estimate(usage, configurations.configuration("0.5V-off"))
    assert slow.ms == 64 and slow.by_phase["waiting"].mj.central > 0
    assert model.estimate(usage, configurations.configuration("0.8V-off")).ms == 61


def test_drains_are_busy_within_the_time_of_other_phases() -> None:
    rows = [
        model.Row(5, "a", "a", "run", "0.8V", 10, ZERO, 0.0),
        model.Row(5, "a", "a", "drain", "0.8V", 0, Interval(3e5, 3e5, 3e5), math.nan),
    ]
    result = model.estimate(model.Usage(rows, 10), configurations.configuration("0.8V-off"))
    assert result.by_phase["drain"].mj.central == pytest.approx(1 * 683.2 / 152 / 1000)
    assert result.ms == 10


def test_what_handlers_of_unknown_cost_take_is_what_is_left() -> None:
    rows = [
        model.Row(5, "a", "a", "run", "0.8V", 8, Interval(15e5, 15e5, 15e5), 0.0),
        model.Row(5, "a", "a", "drain", "0.8V", 0, model.UNKNOWN, math.nan),
        model.Row(6, "b", "b", "later", "0.8V", 8, ZERO, 0.0),
    ]
    result = model.estimate(model.Usage(rows, 10), configurations.configuration("0.8V-off"))
    assert result.by_phase["drain"].busy_ms.low == 0 and result.by_phase["drain"].busy_ms.high == pytest.approx(5)
    assert [*result.by_phase] == ["chip", "run", "later", "drain", "waiting"]
