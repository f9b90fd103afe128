"""Host link messages and the errors that travel in them."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinn2emu import errors, hostlink
from spinn2emu.errors import ConfigError, PeFailed, ProtocolError, Spinn2Error, from_wire

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary()
)
contents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4)
)
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Spinn2Error)]


@given(st.integers(0, 2**63), contents)
def test_messages_roundtrip(number: int, content: Any) -> None:
    message = {"id": number, "op": "read", "content": content}
    assert hostlink.decode(hostlink.encode(message)) == {"version": hostlink.PROTOCOL, **message}


@given(st.binary(max_size=200))
def test_garbage_is_a_protocol_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        hostlink.decode(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        hostlink.encode({"id": 1})[:-1],  # cut off
        hostlink.encode({"id": 1}) + b"\x00",  # something follows
        b"\xdf\xff\xff\xff\xff",  # announces a map of 4 G entries
        b"\xc6\xff\xff\xff\xff" + bytes(9),  # announces 4 GB
        b"\x91" * 5000,  # nested too deeply
        msgpack.packb({1: 2, "id": 1, "version": hostlink.PROTOCOL}),  # keys must be text
        msgpack.packb([1, 2, 3]),
        msgpack.packb({"version": hostlink.PROTOCOL, "op": "info"}),  # no id
        msgpack.packb({"version": hostlink.PROTOCOL, "id": "1"}),
        msgpack.packb({"version": hostlink.PROTOCOL, "id": None}),
    ],
)  # fmt: skip
def test_malformed_messages_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a host link message"):
        hostlink.decode(data)


@pytest.mark.parametrize("version", [0, hostlink.PROTOCOL + 1, None, str(hostlink.PROTOCOL)])
def test_another_version_is_refused_with_both_numbers(version: Any) -> None:
    with pytest.raises(ProtocolError, match=f"this side speaks {hostlink.PROTOCOL}") as caught:
        hostlink.decode(msgpack.packb({"version": version, "id": 7}))
    assert (caught.value.version, caught.value.expected, caught.value.id) == (version, hostlink.PROTOCOL, 7)


def test_a_positive_reply_repeats_the_id() -> None:
    reply = hostlink.decode(hostlink.reply_ok({"id": 9}, data=[b"12"]))
    assert hostlink.unwrap(reply) == {"version": hostlink.PROTOCOL, "id": 9, "ok": True, "data": [b"12"]}


def test_a_negative_reply_raises_the_error_with_its_fields() -> None:
    sent = PeFailed("PE 1.1.0 failed", pe=77, name="1.1.0", program="p", tick=3, code=-2, log=["tick 3: code 1"])
    with pytest.raises(PeFailed, match=r"PE 1\.1\.0 failed") as caught:
        hostlink.unwrap(hostlink.decode(hostlink.reply_error(4, sent)))
    assert caught.value.fields == sent.fields
    assert (caught.value.pe, caught.value.code, caught.value.log) == (77, -2, ["tick 3: code 1"])


def test_the_list_of_errors_is_not_empty() -> None:
    assert {"ConfigError", "SramOverflow", "PeDied", "ProtocolError"} <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_keeps_class_message_and_fields(kind: type[Spinn2Error]) -> None:
    error = from_wire(msgpack.unpackb(msgpack.packb(kind("what", limit=5, who="x").to_wire())))
    assert type(error) is kind
    assert (str(error), error.message, error.fields) == ("what", "what", {"limit": 5, "who": "x"})
    assert (error.limit, error.who) == (5, "x")


def test_an_unknown_error_is_still_an_error() -> None:
    error = from_wire({"type": "FromTheFuture", "message": "m", "fields": {"a": 1}})
    assert type(error) is Spinn2Error and error.a == 1


def test_a_field_that_is_not_there_is_an_attribute_error() -> None:
    assert not hasattr(ConfigError("m", a=1), "b")


@pytest.mark.parametrize(
    ("name", "code"),
    [("Spinn2Error", 1), ("ConfigError", 2), ("SramOverflow", 2), ("ProgramError", 2), ("NoSuchChip", 3),
     ("DeadlineExceeded", 4), ("PeDied", 5), ("PeFailed", 5), ("ChipStuck", 5), ("Mismatch", 6)],
)  # fmt: skip
def test_exit_codes_of_the_command_line(name: str, code: int) -> None:
    assert getattr(errors, name).exit_code == code
