"""Small NIR graphs, and how tests convert them."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from spinn2host.spinnaker2.s2_nir import ConversionConfig, IntegratorMethod

nir = pytest.importorskip("nir")

WEIGHT = np.array([[0.5, -0.25], [0.125, 0.0]])


def lif(n: int, **values: Any) -> Any:
    given = {"tau": 0.008, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0} | values
    return nir.LIF(**{name: np.full(n, value) for name, value in given.items()})


def cuba(n: int, **values: Any) -> Any:
    given = {"tau_mem": 0.008, "tau_syn": 0.004, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 0.5} | values
    return nir.CubaLIF(**{name: np.full(n, value) for name, value in given.items()})


def integrate(shape: Any, r: float = 1.0, v_threshold: float = 1e6) -> Any:
    return nir.IF(r=np.full(shape, r), v_threshold=np.full(shape, v_threshold))


def chain(*nodes: Any, inputs: Any = (2,)) -> Any:
    """A graph input → 0 → 1 → … → output."""
    names = ["input", *map(str, range(len(nodes))), "output"]
    size = np.array([1])
    ends = nir.Input(input_type=np.array(inputs)), nir.Output(output_type=size)
    every = dict(zip(names, (ends[0], *nodes, ends[1]), strict=True))
    return nir.NIRGraph(nodes=every, edges=list(pairwise(names)), type_check=False)


def config(**values: Any) -> ConversionConfig:
    return ConversionConfig(
        **{"dt": 1e-3, "conn_delay": 0, "integrator": IntegratorMethod.FORWARD, "output_record": ["v", "spikes"]}
        | values
    )
