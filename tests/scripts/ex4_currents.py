"""`lif_curr_exp`: currents that decay, excitation and inhibition apart, beside a `lif` with the same input."""

import json

from spinnaker2 import hardware, snn

stim = snn.Population(
    size=2, neuron_model="spike_list", params={0: [3, 10, 20, 22, 24, 26, 28, 41, 42], 1: [12, 23, 25, 40]}, name="stim"
)
lif = {"threshold": 9.0, "alpha_decay": 0.75, "i_offset": 0.125, "v_init": 1.0, "v_reset": -0.5}
exp = lif | {"exc_decay": 0.5, "inh_decay": 0.25, "t_refrac": 0}
pops = {
    "subtract": snn.Population(2, "lif_curr_exp", exp | {"reset": "reset_by_subtraction"}, "subtract", ["spikes", "v"]),
    "reset": snn.Population(2, "lif_curr_exp", exp | {"reset": "reset_to_v_reset"}, "reset", ["spikes", "v"]),
    "lif": snn.Population(2, "lif", lif | {"reset": "reset_by_subtraction"}, "lif", ["spikes", "v"]),
}
net = snn.Network("currents")
net.add(stim, *pops.values())
for pop in pops.values():
    net.add(snn.Projection(pre=stim, post=pop, connections=[[0, 0, 5, 1], [1, 0, -3, 2], [0, 1, 11, 0], [1, 1, -7, 5]]))

hw = hardware.SpiNNcloud48NodeBoard(stm_ip="192.168.1.2")
hw.run(net, 60, sys_tick_in_s=1.0e-3, debug=False)

print(
    json.dumps(
        {
            name: {
                "spikes": {int(i): [int(t) for t in times] for i, times in pop.get_spikes().items()},
                "v": {int(i): [float(v) for v in vs] for i, vs in pop.get_voltages().items()},
            }
            for name, pop in pops.items()
        }
    )
)
