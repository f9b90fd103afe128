"""On-chip EventProp training: four programs, and the schedule and keys on which they agree.

One sample's PEs are a chain: input → layer 1 → … → layer L → loss. One optimizer PE serves the chip. Ticks relative
to the sample's first tick (the one in which its release is processed):

    0           release (and new weights) are processed; the input PE may play on without one
    i           forward step i = 1 … T-1; spikes of step i are sent in tick i
    T           loss
    2T-1-i      backward step i = T-2 … 0; the error of a spike of step i is sent here and used in step i-1
    2T-1        gradients leave, and are added as they arrive
    2T          Adam, for U ticks; the next release in tick 2T+U-1

U is 1 if the update fits a tick; no weight depends on it. Evaluation stops after tick T. Sources: Béna et al.,
arXiv:2412.15021, and this project's design.
"""
