"""spinn2host.spinnaker2: py-spinnaker2's interface, on the emulated chip.

    from spinn2host.spinnaker2 import hardware, snn

`spinn2emu script FILE.py` runs scripts that import it as `spinnaker2`. It was written from what scripts expect, not by
SpiNNcloud or TU Dresden, who make the original; docs/spinnaker2.md says what runs and what it was checked against.
"""
