"""The folder that is on Python's path under `spinn2emu script`, and only there: it has the package `spinnaker2`."""
