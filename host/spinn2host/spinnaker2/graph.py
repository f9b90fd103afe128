"""The original's pipelines of partitioners and placers. There are none here: importing this says so."""

from spinn2host.spinnaker2.names import no_module

raise no_module(
    __name__,
    "there is one way of mapping, which needs no pipeline",
    "leave it out; Population.set_max_atoms_per_core says how populations are split, and debug=True in run shows where "
    "they are",
)
