"""The errors of the emulator: each keeps its fields, and each family has the exit code of the command line.

An error says who, how much, what the limit is, what follows and what to do. Errors cross the host link as their
class name, message and fields (`to_wire`, `from_wire`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from typing import Self

    import pydantic


class Spinn2Error(Exception):
    """Base of all errors that the emulator raises on purpose. `fields` holds what the message says, for programs."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields

    def __getattr__(self, name: str) -> Any:
        fields = self.__dict__.get("fields", {})
        if name in fields:
            return fields[name]
        raise AttributeError(name)

    def extended(self, text: str) -> Self:
        """The same error, with more to say."""
        return type(self)(self.message + text, **self.fields)

    def to_wire(self) -> dict[str, Any]:
        """The error as a msgpack-able dict."""
        return {"type": type(self).__name__, "message": self.message, "fields": self.fields}


class ConfigError(Spinn2Error):
    """What the user asked for cannot be: wrong option, file, shape, name."""

    exit_code = 2


class SramOverflow(ConfigError):
    """A program's regions do not fit the data space of its PE."""


class ProgramError(ConfigError):
    """A program cannot be loaded: not found, malformed, does not compile."""


class NoSuchChip(Spinn2Error):
    """No chip answers under that name."""

    exit_code = 3


class DeadlineExceeded(Spinn2Error):
    """A request was not answered in time."""

    exit_code = 4


class PeDied(Spinn2Error):
    """A process of the chip ended unasked. Fields: pe, name, program, tick, cause, population (None: of none)."""

    exit_code = 5


class PeFailed(Spinn2Error):
    """A kernel reported an error. Fields: pe, name, program, tick, code, log, fault (None: the code is its own),
    population (None: the PE is of none)."""

    exit_code = 5


class ChipStuck(Spinn2Error):
    """Virtual time stands still: a kernel does not return, or PEs wait for each other. Fields: tick, pes."""

    exit_code = 5


class TickOverrun(Spinn2Error):
    """A tick's code ends after the timer's period. Fields: pe, name, program, population (None: of none), tick, phase
    (None: the handler of FIFOs), cycles (until its end, central), period (in cycles), level."""


class Mismatch(Spinn2Error):
    """A verification found a difference."""

    exit_code = 6


class ProtocolError(Spinn2Error):
    """A host link message is malformed, too large, or of another version."""


_FAMILY: dict[str, type[Spinn2Error]] = {
    kind.__name__: kind
    for kind in (
        Spinn2Error, ConfigError, SramOverflow, ProgramError, NoSuchChip, DeadlineExceeded, PeDied, PeFailed,
        ChipStuck, TickOverrun, Mismatch, ProtocolError,
    )
}  # fmt: skip


def describe(error: pydantic.ValidationError) -> str:
    """What pydantic found wrong, in one line."""
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def from_wire(error: dict[str, Any]) -> Spinn2Error:
    """The error that `to_wire` described."""
    return _FAMILY.get(error["type"], Spinn2Error)(error["message"], **error["fields"])
