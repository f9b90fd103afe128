"""What scripts call beside networks: spikes as arrays, connection lists (against plain loops), unknown names."""

import itertools
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_script import run_script

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2 import ann2snn_helpers, brian2_sim, coordinates, hardware, helpers, mapper, s2_nir, snn
from spinn2host.spinnaker2.names import UnknownImport, UnknownName

# --- spikes -----------------------------------------------------------------------------------------------------------

SPIKES = {0: [3, 7], 2: [], 1: [0]}


def test_spike_times_become_pairs() -> None:
    indices, times = helpers.spike_times_dict_to_arrays(SPIKES)
    assert indices.tolist() == [0, 0, 1] and times.tolist() == [3, 7, 0]
    assert times[indices == 2].tolist() == [] and indices.dtype == times.dtype == np.int64
    for none in ({}, {0: [], 1: range(0)}):
        assert [len(array) for array in helpers.spike_times_dict_to_arrays(none)] == [0, 0]


def test_spike_times_become_a_matrix() -> None:
    matrix = helpers.spike_times_to_matrix(SPIKES, n_timesteps=10)
    assert matrix.shape == (3, 10)
    assert {(int(i), int(t)) for i, t in np.argwhere(matrix)} == {(0, 3), (0, 7), (1, 0)}
    assert helpers.spike_times_to_matrix(SPIKES).shape == (3, 8)
    assert helpers.spike_times_to_matrix({}, n_timesteps=4).shape == (0, 4)
    state = matrix.T[3]
    assert state @ np.full((3, 3), 100) @ state == 100  # no small integers that run over


def test_a_spike_outside_of_the_matrix_is_refused() -> None:
    with pytest.raises(ConfigError, match="neuron 0 spikes in tick 7, outside of the 7 ticks") as error:
        helpers.spike_times_to_matrix(SPIKES, n_timesteps=7)
    assert error.value.fields == {"neuron": 0, "tick": 7, "n_timesteps": 7}


@given(st.lists(st.integers(0, 200)), st.integers(1, 9), st.sampled_from([1, 5, 10, 32]))
def test_the_rate_of_a_population_counts_every_spike(times: list[int], neurons: int, width: int) -> None:
    rate, centres = helpers.calculate_population_spike_rate(np.array(times, int), neurons, width)
    assert len(rate) == len(centres) == (max(times) // width + 1 if times else 0)
    for value, centre in zip(rate, centres, strict=True):
        count = sum(centre - width / 2 <= time < centre + width / 2 for time in times)
        assert value == pytest.approx(count / neurons / (width * 1e-3))


def test_rates_need_neurons_and_width() -> None:
    for arguments in ((0,), (3, 0), (3, 10, -1.0)):
        with pytest.raises(ConfigError, match="must be positive"):
            helpers.calculate_population_spike_rate([1], *arguments)


# --- connection lists -------------------------------------------------------------------------------------------------


def test_dense_weights_become_lists_row_by_row() -> None:
    weights = np.array([[1.5, 0.0], [-2.0, 3.0], [0.0, 0.25]])
    expected = [[i, j, weights[i, j], 3] for i in range(3) for j in range(2)]
    dense = ann2snn_helpers.connection_list_from_dense_weights(weights, 3)
    assert dense == expected and isinstance(dense, list) and isinstance(dense[0][0], int)
    sparse = ann2snn_helpers.sparse_connection_list_from_dense_weights(weights, delay=3)
    assert sparse == [row for row in expected if row[2]]
    with pytest.raises(ConfigError, match="two axes"):
        ann2snn_helpers.connection_list_from_dense_weights(np.ones(3), 0)
    whole = ann2snn_helpers.connection_list_from_dense_weights(np.ones((1, 1), np.int8), 0)
    assert whole == [[0, 0, 1, 0]] and isinstance(whole[0][2], int)


def summed(shape: Any, stride: Any, kernel: Any, padding: Any) -> tuple[set[tuple[int, ...]], tuple[int, int, int]]:
    """Connections of a sum pool, by loops over outputs and kernels."""
    channels, height, width = shape
    rows = (height + 2 * padding[0] - kernel[0]) // stride[0] + 1
    columns = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    found = set()
    for c, y, x, i, j in itertools.product(range(channels), range(rows), range(columns), *map(range, kernel)):
        a, b = y * stride[0] + i - padding[0], x * stride[1] + j - padding[1]
        if 0 <= a < height and 0 <= b < width:
            found.add(((c * height + a) * width + b, (c * rows + y) * columns + x))
    return found, (channels, rows, columns)


@given(
    st.tuples(st.integers(1, 3), st.integers(3, 8), st.integers(3, 8)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(0, 1), st.integers(0, 1)),
)
def test_sum_pools_are_those_of_loops(shape: Any, stride: Any, kernel: Any, padding: Any) -> None:
    connections, out = ann2snn_helpers.connection_list_for_sumpool2d(
        input_shape=np.array(shape), stride=stride, kernel_size=np.array(kernel), padding=padding, delay=2,
        data_order="torch",
    )  # fmt: skip
    pairs, expected_shape = summed(shape, stride, kernel, padding)
    assert out == expected_shape
    assert {(pre, post) for pre, post, _, _ in connections} == pairs and len(connections) == len(pairs)
    assert {(weight, delay) for _, _, weight, delay in connections} == {(1, 2)}


def test_sum_pools_take_one_number_for_both_axes_and_refuse_what_is_unknown() -> None:
    both = ann2snn_helpers.connection_list_for_sumpool2d((1, 4, 4), 2, 2)
    assert both == ann2snn_helpers.connection_list_for_sumpool2d((1, 4, 4), (2, 2), (2, 2), (0, 0))
    assert both[1] == (1, 2, 2) and len(both[0]) == 16
    with pytest.raises(ConfigError, match="data_order 'tf'"):
        ann2snn_helpers.connection_list_for_sumpool2d((1, 4, 4), 2, 2, data_order="tf")
    with pytest.raises(ConfigError, match="has no output"):
        ann2snn_helpers.connection_list_for_sumpool2d((1, 2, 4), 1, 3)
    with pytest.raises(ConfigError, match="one number or two"):
        ann2snn_helpers.connection_list_for_sumpool2d((1, 4, 4), (1, 2, 3), 2)


LISTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(-9, 9)), max_size=12)


@given(LISTS, LISTS)
def test_joined_lists_add_up_all_paths(first: list[Any], second: list[Any]) -> None:
    total: dict[tuple[int, int], float] = defaultdict(float)
    for (pre, middle, v), (same, post, w) in itertools.product(first, second):
        if middle == same:
            total[pre, post] += v * w
    joined = ann2snn_helpers.join_conn_lists([[*row, 0] for row in first], [[*row, 5] for row in second])
    assert joined == [[pre, post, weight, 5] for (pre, post), weight in sorted(total.items())]


def test_weights_are_scaled_to_int8_with_fractions_cut() -> None:
    scaled = ann2snn_helpers.scale_and_convert_weights_to_int8([[0.5, -0.25], [0.1, -0.499]])
    assert scaled.dtype == np.int8 and scaled.tolist() == [[127, -63], [25, -126]]
    assert ann2snn_helpers.scale_and_convert_weights_to_int8(np.zeros((2, 2))).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ConfigError, match="finite"):
        ann2snn_helpers.scale_and_convert_weights_to_int8([np.nan])


def test_dense_weights_after_a_convolution_change_the_order_of_rows() -> None:
    channels, height, width = 2, 3, 4
    weights = np.arange(24 * 2).reshape(24, 2)
    ordered = ann2snn_helpers.reorder_dense_weights_after_conv2d(weights, channels, height, width)
    for c, y, x in itertools.product(range(channels), range(height), range(width)):
        assert (ordered[(c * height + y) * width + x] == weights[(y * width + x) * channels + c]).all()
    with pytest.raises(ConfigError, match=r"have not 2 · 3 · 5 = 30 rows"):
        ann2snn_helpers.reorder_dense_weights_after_conv2d(weights, 2, 3, 5)


def test_the_largest_output_of_a_convolution() -> None:
    assert ann2snn_helpers.mla_conv2d_max_output_value(3, 2, 4, np.uint8, np.int8) == 3 * 2 * 4 * 255 * 127


# --- names ------------------------------------------------------------------------------------------------------------


def test_unknown_names_say_what_there_is() -> None:
    for module, name, hint in (
        (hardware, "SpiNNaker2", "a chip is SpiNNaker2Chip"),
        (snn, "SpiNNaker2Backend", "boards are in hardware"),
        (snn, "Projektion", "did you mean Projection?"),
        (mapper, "PlaceAndRoute", "IterativeMapper"),
        (brian2_sim, "SpiNNaker2Simulator", "it has Brian2Backend"),
        (ann2snn_helpers, "connection_list_for_avgpool2d", "a sum pool with weights or thresholds scaled"),
        (s2_nir, "replace_sumpool2d_by_sumpool2d_if", "a SumPool2d may lie before neurons"),
    ):
        with pytest.raises(AttributeError) as error:
            getattr(module, name)
        assert isinstance(error.value, UnknownName) and name in str(error.value) and hint in str(error.value)
        assert not hasattr(module, name)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("from spinn2host.spinnaker2.hardware import SpiNNaker2", "a chip is SpiNNaker2Chip"),
        ("from spinn2host.spinnaker2 import Population", "it is snn.Population"),
        ("from spinn2host.spinnaker2 import mla", "the matrix accelerator of a PE is not emulated yet"),
        ("import spinn2host.spinnaker2.mla.conv2d", "the matrix accelerator of a PE is not emulated yet"),
        ("import spinn2host.spinnaker2.graph.partitioner", "set_max_atoms_per_core"),
        ("from spinn2host.spinnaker2.neuron_models.common import N_WORDS_MPT_ENTRY", "programs in C"),
    ],
)
def test_imports_of_unknown_names_say_it_too(line: str, text: str) -> None:
    with pytest.raises(ImportError, match=text) as error:
        exec(line)
    assert isinstance(error.value, UnknownImport) and isinstance(error.value, ConfigError)


def test_scripts_get_the_same_words(tmp_path: Path) -> None:
    lines = {
        "from spinnaker2.network import Network": "spinnaker2 has no 'network' (networks are snn.Network)",
        "import spinnaker2.mla.conv2d": "spinnaker2.mla does not exist on an emulated chip",
        "from spinnaker2.hardware import SpiNNaker2": "spinnaker2.hardware has no 'SpiNNaker2' (a chip is",
        "from spinnaker2 import Population": "spinnaker2 has no 'Population' (it is snn.Population)",
    }
    tries = "".join(f"try:\n    {line}\nexcept ImportError as error:\n    print(error)\n" for line in lines)
    (tmp_path / "script.py").write_text(tries + "from spinnaker2 import snn\nsnn.SpiNNaker2Backend()\n")
    done = run_script(tmp_path / "script.py")
    for found, expected in zip(done.stdout.splitlines(), lines.values(), strict=True):
        assert found.startswith(expected)
    assert done.returncode == 2 and done.stderr.splitlines()[-1].startswith("UnknownName: spinnaker2.snn has no")


def test_modules_are_there_without_being_imported() -> None:
    code = "import spinn2host.spinnaker2 as s; print(s.helpers.spike_times_dict_to_arrays({0: [4]})[1][0])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "4\n" and done.stderr == ""


def test_settings_of_boards_are_taken() -> None:
    from spinn2host.spinnaker2.experiment_backends import BackendSettings, ExperimentBackendType
    from spinn2host.spinnaker2.experiment_backends.backend_settings import ROUTING
    from spinn2host.spinnaker2.experiment_backends.base_experiment_backend import ExperimentBackendType as Same
    from spinn2host.spinnaker2.logger import SpiNNaker2Logger
    from spinn2host.spinnaker2.neuron_models import lif_conv2d, lif_neuron

    assert ExperimentBackendType("spinnman2") is Same.SPINNMAN2
    settings: Any = BackendSettings()
    settings.routing_type, settings.rebuild_apps, settings._single_chip = ROUTING.C2C, True, False
    with pytest.raises(TypeError, match="routing"):
        BackendSettings(routing=ROUTING.MC)  # type: ignore[call-arg]
    SpiNNaker2Logger.setup(level="diagnostic")
    for application in (lif_neuron.LIFApplication, lif_neuron.LIFNoDelayApplication, lif_conv2d.LIFConv2dApplication):
        application.profiling = True  # type: ignore[attr-defined]


def test_what_belongs_to_programs_in_c_is_refused() -> None:
    from spinn2host.spinnaker2.configuration import MemoryHandler, MemoryRegion, PEConfig
    from spinn2host.spinnaker2.neuron_models.application import BaseApplication
    from spinn2host.spinnaker2.neuron_models.common import format_routing_info

    class Own(BaseApplication):
        neuron_params_addr = coordinates.ByteAddr(0xDC00)

    for kind in (PEConfig, MemoryRegion, MemoryHandler, Own, format_routing_info):
        with pytest.raises(ConfigError, match=r"their ARM code cannot run here; .*\(docs/programs\.md\)"):
            kind("x", 1)


def test_power_settings_say_once_that_they_do_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from spinn2host.spinnaker2 import messages
    from spinn2host.spinnaker2.neuron_models.common import DVFSParams, PmgtMode

    monkeypatch.setattr(messages, "_said", set())
    for _ in range(2):
        assert DVFSParams(mode=PmgtMode.PL_MODE_LOW, pl_threshold=200).pl_threshold == 200
    said = capsys.readouterr()
    assert said.err.count("DVFSParams: no effect here") == 1 and said.out == ""


def test_addresses_count_bytes() -> None:
    assert coordinates.align_addr_to_next_multiple_of_other(17, 8) == 24
    assert repr(coordinates.align_addr_to_next_multiple_of_other(16, 8)) == "ByteAddr(0x10)"
    for wrong in (lambda: coordinates.ByteAddr(-1), lambda: coordinates.align_addr_to_next_multiple_of_other(1, 0)):
        with pytest.raises(ConfigError):
            wrong()
