"""Spiking neural networks as py-spinnaker2 describes them: spike lists, receivers of spikes of the host, and leaky
integrate-and-fire neurons.

Keys: see `spinn2fw.kernels.synapses`. What a PE sends in tick t, its targets take in in tick t + 1.
"""
