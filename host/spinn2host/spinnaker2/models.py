"""The neuron models: parameters, synapses, records, and which models are not to be had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spinn2emu.errors import ConfigError
from spinn2fw.kernels.synapses import MAX_WEIGHT, MAX_WEIGHT_WITH_DELAY
from spinn2host.spinnaker2.messages import Named, warn

LAST_TICK = 0xFFFFFFFF
"""Of a spike list, whose ticks are words of 32 bits."""
REQUIRED = None
"""As a default: the script must give the parameter."""
SUBTRACT, TO_V_RESET = "reset_by_subtraction", "reset_to_v_reset"


@dataclass(frozen=True)
class Model:
    """A neuron model. `parameters`: defaults of those that are a number for all, or one per neuron."""

    name: str
    program: str
    parameters: Mapping[str, float | None] = field(default_factory=dict)
    records: tuple[str, ...] = ()
    currents: bool = False
    delays: bool = True
    convolution: bool = False
    is_source: bool = False

    @property
    def max_weight(self) -> int:
        """Largest |weight| of its synapses."""
        return MAX_WEIGHT_WITH_DELAY if self.delays else MAX_WEIGHT


_NEURONS = "spinn2fw.snn.neurons"
GUESSED = ("threshold",)
"""Parameters whose default is a guess: scripts that leave it out need one that a single spike can reach."""
_LIF = {"threshold": 1.0, "alpha_decay": REQUIRED, "i_offset": 0.0, "v_init": 0.0, "v_reset": 0.0}
_CURRENTS = {**_LIF, "exc_decay": REQUIRED, "inh_decay": REQUIRED, "t_refrac": 0.0}
_OF_SOURCES = ("spikes", "time_done", "n_packets")
_OF_NEURONS = ("spikes", "v", "v_last", "time_done", "n_packets")

MODELS: dict[str, Model] = {
    model.name: model
    for model in (
        Model("spike_list", "spinn2fw.snn.spikes", records=_OF_SOURCES, is_source=True),
        Model("spike_receiver", "spinn2fw.snn.receiver", records=_OF_SOURCES, is_source=True),
        Model("lif", _NEURONS, _LIF, _OF_NEURONS),
        Model("lif_curr_exp", _NEURONS, _CURRENTS, _OF_NEURONS, currents=True),
        Model("lif_no_delay", _NEURONS, _LIF, _OF_NEURONS, delays=False),
        Model("lif_curr_exp_no_delay", _NEURONS, _CURRENTS, _OF_NEURONS, currents=True, delays=False),
        Model("lif_conv2d", _NEURONS, _LIF, _OF_NEURONS, delays=False, convolution=True),
    )
}

UNPUBLISHED: dict[str, str] = {
    "alif": "how its threshold adapts", "lif_adaptive_threshold": "how its threshold adapts",
    "lif_prob": "its random generator", "lif_fugu": "the order of its leak, bias and chance",
    "izhikevich": "its integrator", "charge_and_spike": "its equations", "qubo_neuron": "its equations",
    "poisson_process": "its random generator", "conv2d_if_neuron_rate_code": "how it reads its image",
    "spikes_from_array": "how it codes its array", "spikes_from_array_latency_code": "how it codes its array",
    "gas": "its equations", "relay": "its protocol", "spike_replicator": "its protocol",
}  # fmt: skip
"""Models of the original that nobody outside can rebuild, and what is not known of them."""

STRAY = ("t_refract", "v_rest", "beta_decay", "threshold_adp_decay", "threshold_adp_inc")
"""Parameters that published scripts give to models that do not know them."""


def find_model(name: object) -> Model:
    """The model of that name. Raises ConfigError."""
    if isinstance(name, str) and name in MODELS:
        return MODELS[name]
    if isinstance(name, str) and name in UNPUBLISHED:
        raise ConfigError(
            f"neuron model {name!r} is refused: nobody has published {UNPUBLISHED[name]}, and it is not invented here; "
            f"there are {', '.join(MODELS)}, and programs of your own (docs/programs.md)", model=name,
        )  # fmt: skip
    close = get_close_matches(str(name), MODELS, 1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise ConfigError(f"there is no neuron model {name!r}{hint}: there are {', '.join(MODELS)}", model=str(name))


def check_record(who: Named, model: Model, record: object) -> list[str]:
    """The names of what is recorded. Raises ConfigError for others."""
    names: list[Any] = list(record) if isinstance(record, Iterable) and not isinstance(record, str) else [record]
    for name in names:
        if name not in model.records:
            raise ConfigError(
                f"{who}: model {model.name} cannot record {name!r}, only {', '.join(model.records)}",
                population=who.name, record=str(name),
            )  # fmt: skip
    return names


def check_names(who: Named, model: Model, params: object) -> None:
    """Raises ConfigError for parameters that no model has; says which of another model are not used."""
    if not isinstance(params, Mapping):
        raise ConfigError(f"{who}: params is a dictionary, not {type(params).__name__}", population=who.name)
    if model.is_source:
        if model.name == "spike_receiver" and params:
            warn(f"{who}: a spike_receiver has no parameters here: {', '.join(map(str, params))} are not used")
        return
    known = {*model.parameters, "reset"}
    elsewhere = {name for other in MODELS.values() for name in other.parameters} | set(STRAY)
    for name in params:
        if name in known:
            continue
        if name in elsewhere:
            warn(f"{who}: model {model.name} has no parameter {name!r}: it is not used")
            continue
        close = get_close_matches(str(name), known, 1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise ConfigError(
            f"{who}: model {model.name} has no parameter {name!r}{hint}: it has {', '.join(sorted(known))}",
            population=who.name, parameter=str(name),
        )  # fmt: skip


def neuron_values(who: Named, model: Model, params: Mapping[str, Any], size: int) -> dict[str, NDArray[np.float32]]:
    """The parameters of `size` neurons, each (size,) float32. Raises ConfigError for what is missing or no number.

    An array of one number counts as that number.
    """
    values = {}
    for name, default in model.parameters.items():
        given = params.get(name, default)
        if name in GUESSED and name not in params:
            warn(f"{who}: {name} is left out, {default:g} is taken: what the board takes is not known")
        if given is REQUIRED and name not in params:
            raise ConfigError(
                f"{who}: model {model.name} needs {name!r} in params; what the board takes without it is not known",
                population=who.name, parameter=name,
            )  # fmt: skip
        try:
            array = np.empty(0) if given is None or isinstance(given, str | bytes) else np.asarray(given, np.float64)
        except (TypeError, ValueError):
            array = np.empty(0)
        if array.size not in (1, size):
            what = f"{array.size} of them" if array.size else repr(given)
            raise ConfigError(
                f"{who}: {name} is a number, or one for each of its {size} neurons, not {what}",
                population=who.name, parameter=name,
            )  # fmt: skip
        with np.errstate(over="ignore"):
            single = np.broadcast_to(array.ravel(), (size,)).astype(np.float32)
        if not np.isfinite(single).all():
            raise ConfigError(f"{who}: {name} must be finite float32 numbers, not {given!r:.80}", population=who.name,
                              parameter=name)  # fmt: skip
        values[name] = single
    if "t_refrac" in values:
        ticks = values["t_refrac"]
        if ((ticks < 0) | (ticks > 0xFFFF) | (ticks != np.rint(ticks))).any():
            raise ConfigError(
                f"{who}: t_refrac is a whole number of ticks, 0 to 65535, not {params['t_refrac']!r:.80}",
                population=who.name, parameter="t_refrac",
            )  # fmt: skip
    return values


def subtracts(who: Named, params: Mapping[str, Any]) -> bool:
    """Whether a spike subtracts the threshold, as it does if `reset` is left out. Raises ConfigError."""
    reset = params.get("reset", SUBTRACT)
    if not isinstance(reset, str) or reset not in (SUBTRACT, TO_V_RESET):
        raise ConfigError(f"{who}: reset is {SUBTRACT!r} or {TO_V_RESET!r}, not {reset!r:.80}", population=who.name,
                          parameter="reset")  # fmt: skip
    return bool(reset == SUBTRACT)


def spike_events(who: Named, params: Mapping[Any, Any], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ticks and neurons of a spike list, by tick, then neuron; a tick that is given twice counts once.

    Raises ConfigError for neurons that the population has not, and for ticks that are no whole numbers from 0 on.
    """
    for neuron in params:
        if not isinstance(neuron, int | np.integer) or not 0 <= neuron < size:
            raise ConfigError(f"{who}: there is no neuron {neuron!r}, only 0 to {size - 1}", population=who.name,
                              neuron=repr(neuron))  # fmt: skip
    if not params:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    arrays = [_as_ticks(times) for times in params.values()]
    ticks, neurons = np.concatenate(arrays), np.repeat(np.array(list(params), np.int64), [len(a) for a in arrays])
    wrong = (ticks != np.rint(ticks)) | (ticks < 0) | (ticks > LAST_TICK)
    if wrong.any():
        neuron = int(neurons[np.argmax(wrong)])
        raise ConfigError(f"{who}: the spikes of neuron {neuron} are a list of ticks, whole numbers 0 to "
                          f"{LAST_TICK}, not {params[neuron]!r:.80}", population=who.name, neuron=neuron)  # fmt: skip
    times, ids = np.divmod(np.unique(ticks.astype(np.int64) * size + neurons), size)
    if twice := len(ticks) - len(times):
        warn(f"{who}: {twice} spikes are in the list twice; a neuron spikes once in a tick")
    return times, ids


def _as_ticks(times: Any) -> NDArray[np.float64]:
    """What a spike list has for a neuron as an array (n,); a NaN if it is no list of numbers; nor is an iterator,
    which is empty when it is read again."""
    if isinstance(times, Iterator | str | bytes):
        return np.array([np.nan])
    try:
        array = np.asarray(times if isinstance(times, np.ndarray) else list(times), np.float64)
    except (TypeError, ValueError):
        array = np.array([np.nan])
    return array if array.ndim == 1 else np.array([np.nan])
