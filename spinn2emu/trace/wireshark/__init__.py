"""The dissector of traces for Wireshark (Lua), a profile for it, and copying both to where Wireshark finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

from spinn2emu.errors import ConfigError

DISSECTOR = Path(__file__).parent / "spinn2.lua"
PROFILE = Path(__file__).parent / "profile"
PROFILE_NAME = "SpiNNaker2"
FOLDERS_TIMEOUT_S = 10


class Installed(NamedTuple):
    """A file that `install` looked after, and what it did: `installed`, `unchanged`, `replaced` or `kept`."""

    path: Path
    did: str


def install(force: bool = False) -> list[Installed]:
    """Copies dissector and profile to the user's folders of Wireshark; again, where they are, changes nothing.

    An older dissector is replaced. Files of the profile that differ from ours are kept, as Wireshark writes them when
    the user changes settings; `force` replaces them. Raises ConfigError if a folder cannot be written.
    """
    plugins, configuration = folders()
    profile = configuration / "profiles" / PROFILE_NAME
    try:
        return [
            _copy(DISSECTOR, plugins / DISSECTOR.name, True),
            *(_copy(source, profile / source.name, force) for source in sorted(PROFILE.iterdir())),
        ]
    except OSError as error:
        raise ConfigError(
            f"{error.filename}: {error.strerror}; nothing more was copied", path=str(error.filename)
        ) from error


def folders() -> tuple[Path, Path]:
    """The user's folders for Lua plugins and for configuration: as tshark says, or where they are by default."""
    told = dict(line.split(":", 1) for line in _tshark_folders().splitlines() if ":" in line)
    configuration = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "wireshark"
    plugins = Path.home() / ".local" / "lib" / "wireshark" / "plugins"
    return (
        Path(told.get("Personal Lua Plugins", str(plugins)).strip()),
        Path(told.get("Personal configuration", str(configuration)).strip()),
    )


def _tshark_folders() -> str:
    if shutil.which("tshark") is None:
        return ""
    try:
        command = ["tshark", "-G", "folders"]
        return subprocess.run(command, capture_output=True, text=True, timeout=FOLDERS_TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _copy(source: Path, target: Path, replace: bool) -> Installed:
    content = source.read_bytes()
    exists = target.exists()
    if exists and target.read_bytes() == content:
        return Installed(target, "unchanged")
    if exists and not replace:
        return Installed(target, "kept")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return Installed(target, "replaced" if exists else "installed")
