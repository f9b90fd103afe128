"""The host link: versioned msgpack messages over ZeroMQ between a host process and a chip.

A request is {version, id, op, …}, a reply {version, id, ok, …} or {version, id, ok: false, error}; before it, messages
{version, id, progress} may say what takes so long. Arrays travel as
their bytes. Messages beyond MAX_MESSAGE_BYTES are refused at the socket; whatever is malformed is a ProtocolError.
"""

from __future__ import annotations

import os
from typing import Any

import msgpack

from spinn2emu.errors import ConfigError, ProtocolError, Spinn2Error, from_wire

PROTOCOL = 3
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
DIRECTORY_PREFIX = "chip-"
"""Of the directory of a chip; the rest is its name."""
SOCKET_NAME = "host"
NETWORK_NAME = "network"


def endpoint(path: str | os.PathLike[str]) -> Any:
    """A socket's path as ZeroMQ wants it: its bytes, whatever the locale says of them (pyzmq would take UTF-8)."""
    return b"ipc://" + os.fsencode(path)


def path_to_wire(path: str | os.PathLike[str]) -> str:
    """A path as text that names the same file in a process with another locale: its bytes, as far as they are UTF-8."""
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def path_from_wire(text: str) -> str:
    """The path that `path_to_wire` has sent, in this process's locale."""
    return os.fsdecode(text.encode("utf-8", "surrogateescape"))


def encode(message: dict[str, Any]) -> bytes:
    """The bytes of a message; adds the protocol's version. Raises ConfigError for what no message can hold."""
    try:
        return bytes(msgpack.packb({"version": PROTOCOL, **message}, unicode_errors="surrogateescape"))
    except (OverflowError, TypeError, ValueError) as error:
        text = f"a request {message.get('op', '')!r} cannot be sent: {error} (numbers have 64 bits)"
        raise ConfigError(text) from error


def decode(data: bytes) -> dict[str, Any]:
    """The message in `data`. Raises ProtocolError if it is none, or of another version."""
    try:
        message = msgpack.unpackb(data, strict_map_key=True, unicode_errors="surrogateescape")
    except Exception as error:
        raise ProtocolError(f"not a host link message: {type(error).__name__}: {error}") from error
    if not isinstance(message, dict) or not isinstance(message.get("id"), int):
        raise ProtocolError("not a host link message: it must be a map with an integer `id`")
    if message.get("version") != PROTOCOL:
        raise ProtocolError(
            f"host link version {message.get('version')!r}, this side speaks {PROTOCOL}: use one spinn2emu for both",
            version=message.get("version"), expected=PROTOCOL, id=message["id"],
        )  # fmt: skip
    return message


def reply_ok(request: dict[str, Any], **content: Any) -> bytes:
    """The bytes of a positive reply."""
    return encode({"id": request["id"], "ok": True, **content})


def progress(request: dict[str, Any], text: str) -> bytes:
    """The bytes of a message that comes before the reply: what is being done."""
    return encode({"id": request["id"], "progress": text})


def reply_error(request_id: int, error: Spinn2Error) -> bytes:
    """The bytes of a negative reply."""
    return encode({"id": request_id, "ok": False, "error": error.to_wire()})


def unwrap(reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, or raises the error that it carries."""
    if not reply.get("ok"):
        raise from_wire(reply["error"])
    return reply
