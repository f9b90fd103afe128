"""`spinn2emu trace wireshark`: where the dissector is, or install it."""

from __future__ import annotations

import click

from spinn2emu.errors import ConfigError
from spinn2emu.trace import wireshark as files
from spinn2host.cli.output import json_option, print_json

HOW = """\
dissector: {dissector}
profile:   {profile}

Use the dissector once:
  tshark -X lua_script:{dissector} -r FILE -Y 's2.type == "error"'
Install both for Wireshark and tshark, and open a trace with the profile:
  spinn2emu trace wireshark --install
  wireshark -C {name} FILE
All fields: tshark -X lua_script:{dissector} -G fields | grep 's2\\.'"""


@click.command()
@click.option("--install", is_flag=True, help="Copy the dissector and the profile to your folders of Wireshark.")
@click.option("--force", is_flag=True, help="With --install: replace files of the profile that were changed.")
@click.option("--print-path", is_flag=True, help="Print the path of the dissector only, for scripts.")
@json_option
def wireshark(install: bool, force: bool, print_path: bool, as_json: bool) -> None:
    """Say where the Wireshark dissector of traces is and how to use it, or install it and a profile (columns, colours).

    \b
    Examples:
      spinn2emu trace wireshark --install
      tshark -r online.pcapng -Y 's2.type == "error" && s2.src == "1.2.1"'
      wireshark -C SpiNNaker2 online.pcapng
      tshark -X lua_script:$(spinn2emu trace wireshark --print-path) -r online.pcapng -T fields -e s2.key
    """
    if force and not install:
        raise ConfigError("--force belongs to --install")
    done = files.install(force) if install else []
    if as_json:
        print_json({
            "dissector": str(files.DISSECTOR), "profile": str(files.PROFILE), "profile_name": files.PROFILE_NAME,
            "files": [{"path": str(path), "did": did} for path, did in done],
        })  # fmt: skip
    elif print_path:
        click.echo(files.DISSECTOR)
    elif install:
        for path, did in done:
            click.echo(f"{did:9}  {path}")
        if any(did == "kept" for _, did in done):
            click.echo("kept: files that differ from those of this release: you may have changed them; see --force")
        click.echo(f"open a trace: wireshark -C {files.PROFILE_NAME} FILE")
    else:
        click.echo(HOW.format(dissector=files.DISSECTOR, profile=files.PROFILE, name=files.PROFILE_NAME))
