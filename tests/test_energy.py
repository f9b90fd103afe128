"""Power and energy: the measured table, configurations, and the model, checked by hand."""

from __future__ import annotations

import pytest

from spinn2emu import spec
from spinn2emu.errors import ConfigError
from spinn2host.energy import configurations, power


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
