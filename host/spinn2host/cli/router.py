"""`spinn2emu router table`, `router lookup`."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from spinn2emu import geometry
from spinn2emu.errors import ConfigError
from spinn2host.cli.common import attach, pass_chip_name
from spinn2host.cli.output import json_option, print_json, stdout


@click.group()
def router() -> None:
    """Show the routing table."""


@router.command("table")
@json_option
@pass_chip_name
def show_table(name: str | None, as_json: bool) -> None:
    """Show the routing entries in search order, with the packets that each has matched.

    \b
    Example:
      spinn2emu router table
    """
    with attach(name) as chip:
        entries = chip.routes()["entries"]
    if as_json:
        print_json({"chip": chip.name, "entries": [_as_dict(i, entry) for i, entry in enumerate(entries)]})
        return
    if not entries:
        stdout.print("the routing table is empty")
        return
    table = Table("entry", "key", "mask", "to", "packets", box=None, pad_edge=False)
    for i, entry in enumerate(entries):
        table.add_row(str(i), f"{entry[0]:#010x}", f"{entry[1]:#010x}", _targets(entry), f"{entry[4]:,}")
    stdout.print(table)


@router.command()
@click.argument("key")
@json_option
@pass_chip_name
def lookup(name: str | None, key: str, as_json: bool) -> int:
    """Show which entry a key matches, and where its packets arrive.

    The exit code is 1 if no entry matches KEY.

    \b
    Example:
      spinn2emu router lookup 0x10003
    """
    try:
        number = int(key, 0)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise ConfigError(f"{key!r} is not a key: write a number of 32 bits, such as 0x10003", key=key)
    with attach(name) as chip:
        routes = chip.routes()
    found = next((i for i, (k, mask, *_) in enumerate(routes["entries"]) if number & mask == k), None)
    senders = [
        {"pe": geometry.name(int(pe)), "port": port}
        for pe, ports in routes["ports"].items()
        for port, (k, mask) in ports["outputs"].items()
        if number & mask == k
    ]
    entry = None if found is None else routes["entries"][found]
    ports = [] if entry is None else [_arrival(routes, pe, number) for pe in entry[2]]
    if as_json:
        print_json({"key": number, "entry": None if found is None or entry is None else _as_dict(found, entry),
                    "senders": senders, "arrives": ports})  # fmt: skip
        return 0 if entry else 1
    sent = ", ".join(f"{s['pe']} ({s['port']})" for s in senders) or "nobody"
    if entry is None:
        stdout.print(f"key {number:#010x}, sent by {sent}, matches no entry: its packets are dropped and counted")
        return 1
    stdout.print(f"key {number:#010x}, sent by {sent}, matches entry {found}: {entry[0]:#010x} mask {entry[1]:#010x}")
    for port in ports:
        stdout.print(f"  {port['pe']}  " + (f"port {port['port']}" if port["port"] else "no port listens: dropped"))
    return 0


def _arrival(routes: dict[str, Any], pe: int, key: int) -> dict[str, Any]:
    inputs = routes["ports"].get(str(pe), {"inputs": {}})["inputs"]
    port = next((port for port, filters in inputs.items() for k, mask in filters if key & mask == k), None)
    return {"pe": geometry.name(pe), "port": port}


def _targets(entry: list[Any]) -> str:
    return " ".join([*map(geometry.name, entry[2]), *(f"link {link}" for link in entry[3])])


def _as_dict(number: int, entry: list[Any]) -> dict[str, Any]:
    key, mask, pes, links, hits = entry
    return {"entry": number, "key": key, "mask": mask, "pes": [geometry.name(pe) for pe in pes], "links": links,
            "packets": hits}  # fmt: skip
