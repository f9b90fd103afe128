"""Three sources drive two `lif` neurons: excitation, inhibition, different delays, reset by subtraction."""

import json

from spinnaker2 import hardware, snn

stim = snn.Population(
    size=3,
    neuron_model="spike_list",
    params={0: [0, 2, 3, 7, 8, 9, 20, 21], 1: [5, 12, 22], 2: [1, 6, 11, 16, 21, 26]},
    name="stim",
)
params = {
    "threshold": 12.0,
    "alpha_decay": 0.875,
    "i_offset": 0.25,
    "v_init": 0.0,
    "v_reset": 0.0,
    "reset": "reset_by_subtraction",
}
pop = snn.Population(size=2, neuron_model="lif", params=params, name="pop", record=["spikes", "v"])
connections = [[0, 0, 7, 0], [0, 1, 5, 3], [1, 0, -6, 1], [1, 1, -15, 2], [2, 0, 3, 7], [2, 1, 9, 4]]
net = snn.Network("two sources")
net.add(stim, pop, snn.Projection(pre=stim, post=pop, connections=connections))

hw = hardware.SpiNNaker2Chip(eth_ip="192.168.1.17")
hw.run(net, 40)

voltages = pop.get_voltages()
print(
    json.dumps(
        {
            "spikes": {int(i): [int(t) for t in times] for i, times in pop.get_spikes().items()},
            "v": {int(i): [float(v) for v in voltages[i]] for i in voltages},
        }
    )
)
