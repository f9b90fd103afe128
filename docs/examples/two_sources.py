"""Two spike sources, one of which inhibits, drive a neuron: which spikes come out, and the neuron's voltage.

spinn2emu script docs/examples/two_sources.py
"""

from spinnaker2 import hardware, snn

sources = snn.Population(size=2, neuron_model="spike_list", params={0: [1, 4, 5, 6, 12], 1: [3, 8]}, name="sources")
params = {"threshold": 10.0, "alpha_decay": 0.9, "i_offset": 0.0, "v_reset": 0.0, "reset": "reset_to_v_reset"}
neuron = snn.Population(size=1, neuron_model="lif", params=params, name="neuron", record=["spikes", "v"])
network = snn.Network("two sources")
network.add(sources, neuron, snn.Projection(sources, neuron, [[0, 0, 6, 0], [1, 0, -3, 2]]))

hardware.SpiNNaker2Chip(eth_ip="192.168.1.17").run(network, 16)

print("sources:", sources.get_spikes())
print("neuron: ", neuron.get_spikes()[0])
for tick, voltage in enumerate(neuron.get_voltages()[0]):
    print(f"{tick:>4} {voltage:8.4f} {'#' * max(0, round(4 * voltage))}")
