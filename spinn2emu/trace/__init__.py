"""Traces: every packet as it was sent, received or dropped, in pcapng files that Wireshark's tools open."""
