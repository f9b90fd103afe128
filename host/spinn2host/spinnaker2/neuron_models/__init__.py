"""The original's classes for chip programs. Models are chosen by name (`snn.Population`), and these do nothing."""
