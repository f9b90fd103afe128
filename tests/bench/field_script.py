"""The field of `networks.py` as a script of py-spinnaker2."""

import sys
from pathlib import Path

from spinnaker2 import hardware, snn

sys.path.insert(0, str(Path(__file__).parent))
from networks import make_field

TICKS = 1000
description = make_field(TICKS)
populations = {}
for group in description.groups.values():
    populations[group.name] = snn.Population(group.size, group.model, group.params, group.name)
    populations[group.name].set_max_atoms_per_core(group.per_pe)
network = snn.Network("field")
network.add(*populations.values())
for pre, post, rows in description.connections:
    network.add(snn.Projection(populations[pre], populations[post], rows))
hardware.SpiNNaker2Chip().run(network, TICKS)
print(sum(map(len, populations["sheet"].get_spikes().values())), "spikes")
