"""The parameters of chip neurons for NIR's neurons.

With g = dt/τ (forward Euler) or 1 − e^(−dt/τ), s = the factor of the weights, b = the sum of the biases that come in,
and NIR's names of parameters (τ ≙ tau, r, v_leak, v_threshold, w_in):

    IF       V ← V + s·w,             scale = s / r
    LIF      V ← (1−g) V + s·w,       scale = s / (g·r)
    CubaLIF  I ← (1−g_syn) I + s·w;   V ← (1−g_mem) V + I,   scale = s / (g_mem·r·g_syn·w_in)

    threshold = v_threshold · scale;   V / scale is NIR's voltage
    i_offset  = s·b + g·v_leak·scale;  CubaLIF: s·b / g_syn + g_mem·v_leak·scale

The bias of a CubaLIF acts on its current in NIR, on its voltage here: the same once the current has settled.
Source: what py-spinnaker2's converter computes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spinn2emu.errors import ConfigError
from spinn2host.spinnaker2.messages import warn
from spinn2host.spinnaker2.models import SUBTRACT, TO_V_RESET
from spinn2host.spinnaker2.nir_graph import WEIGHTS, Layers, array

Floats = npt.NDArray[np.float64]

ROUNDING = 1e-6
"""dt/τ may be above 1 by so much: frameworks write τ as float32."""
FORGOTTEN = 5
"""dt/τ above which next to nothing (e^-5 < 1 %) is left after a tick, which is hardly meant."""


class Neurons(NamedTuple):
    """Parameters as `Population` takes them, float64[neurons] each, and the scale of voltages, float64[neurons]."""

    params: dict[str, Any]
    v_scale: Floats


class Euler(NamedTuple):
    """How time becomes ticks."""

    dt: float
    forward: bool


def convert(layers: Layers, name: str, euler: Euler, to_zero: bool, factor: float) -> Neurons:
    """The parameters of a neuron node whose weights are multiplied by `factor`.

    Errors: ConfigError for parameters that do not fit the layer, or give no finite voltages.
    """
    kind = layers.kind(name)
    value = {key: _per_neuron(layers, name, key) for key in _PARAMETERS[kind]}
    bias = bias_into(layers, name) * factor
    extra: dict[str, Any] = {}
    if kind == "IF":
        gain, alpha, leak = value["r"], np.ones_like(value["r"]), np.zeros_like(value["r"])
    elif kind == "LIF":
        share = _share(layers, name, "tau", value["tau"], euler)
        gain, alpha, leak = share * value["r"], 1 - share, share * value["v_leak"]
    else:
        share, synaptic = (_share(layers, name, tau, value[tau], euler) for tau in ("tau_mem", "tau_syn"))
        gain, alpha, leak = share * value["r"] * synaptic * value["w_in"], 1 - share, share * value["v_leak"]
        bias = bias / synaptic
        if bias.any():
            warn(f"{layers.label(name)}: its bias acts on the voltage, in NIR on the current: the same when settled")
        extra = {"exc_decay": 1 - synaptic, "inh_decay": 1 - synaptic, "t_refrac": 0, "v_reset": 0.0}
    if not (gain > 0).all():
        raise ConfigError(
            f"{layers.label(name)}: r{' and w_in' if extra else ''} must be above 0, as thresholds are divided by it",
            node=name,
        )
    v_scale = factor / gain
    params = {
        "threshold": value["v_threshold"] * v_scale, "alpha_decay": alpha, "i_offset": leak * v_scale + bias, **extra,
        "reset": TO_V_RESET if to_zero else SUBTRACT,
    }  # fmt: skip
    _check_reset(layers, name, to_zero)
    return Neurons(params, v_scale)


def bias_into(layers: Layers, name: str) -> Floats:
    """float64[neurons]: the sum of the biases of all layers that enter a neuron node; of a Conv2d, one per channel."""
    shape = layers.shapes[name]
    total = np.zeros(shape)
    for layer in layers.into(name, WEIGHTS):
        if layers.kind(layer) == "Linear" or layers.nodes[layer].bias is None:
            continue
        bias = array(layers.nodes[layer].bias)
        if layers.kind(layer) == "Conv2d":
            total += np.broadcast_to(bias.reshape(-1, 1, 1), layers.shapes[layer]).reshape(shape)
        elif bias.size != total.size:
            raise ConfigError(f"{layers.label(layer)}: {bias.size} biases for the {total.size} neurons of '{name}'",
                              node=layer)  # fmt: skip
        else:
            total += bias.reshape(shape)
    return total.reshape(-1)


_PARAMETERS = {
    "IF": ("r", "v_threshold"),
    "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLIF": ("tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "w_in"),
}


def _per_neuron(layers: Layers, name: str, key: str) -> Floats:
    """A parameter as float64[neurons]: given once, per neuron, or in any shape that numpy stretches to the layer's."""
    given, shape = array(getattr(layers.nodes[name], key)), layers.shapes[name]
    if not np.isfinite(given).all():
        raise ConfigError(
            f"{layers.label(name)}: {key} is not finite ({given.reshape(-1)[~np.isfinite(given.reshape(-1))][0]}); for "
            "neurons without leak use IF", node=name, parameter=key,
        )  # fmt: skip
    if given.size == np.prod(shape):
        return given.reshape(-1)
    try:
        return np.broadcast_to(given, shape).reshape(-1).copy()
    except ValueError:
        raise ConfigError(
            f"{layers.label(name)}: {key} has the shape {given.shape}, its layer {shape}", node=name, parameter=key
        ) from None


def _share(layers: Layers, name: str, key: str, tau: Floats, euler: Euler) -> Floats:
    """g: the part of a state that a tick replaces."""
    with np.errstate(divide="ignore", over="ignore"):
        share = euler.dt / tau if euler.forward else -np.expm1(-euler.dt / tau)
    wrong = ~((tau > 0) & (share <= 1 + ROUNDING))
    if wrong.any():
        first = int(np.argmax(wrong))
        remedy = "give time constants above 0" if tau[first] <= 0 else (
            "with forward Euler, voltages would swing; take a smaller dt in ConversionConfig (snnTorch exports times "
            "for dt=1e-4), or IntegratorMethod.EXPONENTIAL"
        )  # fmt: skip
        raise ConfigError(
            f"{layers.label(name)}: neuron {first} has {key} {tau[first]:g}, and dt is {euler.dt:g}: {remedy}",
            node=name, parameter=key, value=float(tau[first]), dt=euler.dt,
        )  # fmt: skip
    if not euler.forward and (euler.dt > FORGOTTEN * tau).any():
        warn(
            f"{layers.label(name)}: dt is {euler.dt:g}, and {key} as short as {tau.min():g}: neurons forget at once; "
            "is dt in the units of the graph (snnTorch exports times for dt=1e-4)?"
        )
    return np.minimum(share, 1.0)


def _check_reset(layers: Layers, name: str, to_zero: bool) -> None:
    v_reset = getattr(layers.nodes[name], "v_reset", None)
    if v_reset is not None and np.any(array(v_reset) != 0):
        does = "voltages are set to 0" if to_zero else "the threshold is subtracted"
        warn(f"{layers.label(name)}: its v_reset is not used; by ConversionConfig.reset, {does}, as py-spinnaker2 does")
