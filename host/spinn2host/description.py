"""What a network's TOML file may say: the models that it is checked against. See `spinn2host.network`."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from spinn2emu.levels import level_number

KEYS_PER_PE = 1 << 16
"""Keys of an output port of a PE, if the file does not say otherwise."""
WORD = 0xFFFFFFFF


class KeyBlock(pydantic.BaseModel, extra="forbid"):
    """PE number i of a population sends keys first + i * count … first + (i + 1) * count - 1 on this port."""

    first: int | None = pydantic.Field(None, ge=0, le=WORD)
    count: int = pydantic.Field(KEYS_PER_PE, ge=1, le=1 << 32)


class Values(pydantic.BaseModel, extra="forbid"):
    """Parameters, and .npy files with initial contents of regions."""

    set: dict[str, Any] = {}
    data: dict[str, str] = {}


class Each(pydantic.BaseModel, extra="forbid"):
    """The same with a value (`set`) or a row of a .npy file (`data`) for every PE of a population."""

    set: dict[str, list[Any]] = {}
    data: dict[str, str] = {}


class Population(Values):
    """PEs that run one program. `each` wins over `set` and `data`, `at` (by the PE's index) over both; `arm`: they
    execute it as Cortex-M4 code."""

    pes: int | list[str]
    program: str | None = None
    each: Each = Each()
    at: dict[int, Values] = {}
    keys: dict[str, KeyBlock] = {}
    level: str | None = None
    arm: bool = False

    @pydantic.model_validator(mode="after")
    def _check(self) -> Population:
        own = self.set or self.data or self.each != Each() or self.at or self.level or self.arm
        if self.program is None and own:
            raise ValueError("set, data, each, at, level and arm do nothing without a program")
        if self.level is not None:
            level_number(self.level)
        return self


class Connection(pydantic.BaseModel, extra="forbid"):
    """`source` and `target` are written population.port."""

    source: str = pydantic.Field(alias="from", pattern=r"^[^.]+\.[^.]+$")
    target: str = pydantic.Field(alias="to", pattern=r"^[^.]+\.[^.]+$")
    how: Literal["all", "others", "one", "next", "random", "pairs"] = "all"
    probability: float | None = pydantic.Field(None, ge=0, le=1)
    fan_in: int | None = pydantic.Field(None, ge=0)
    seed: int = pydantic.Field(0, ge=0)
    pairs: list[tuple[pydantic.NonNegativeInt, pydantic.NonNegativeInt]] | None = None

    @pydantic.model_validator(mode="after")
    def _check(self) -> Connection:
        if (self.how == "random") != ((self.probability is None) != (self.fan_in is None)):
            raise ValueError('probability or fan_in, one of them, belongs to how = "random"')
        if "seed" in self.model_fields_set and self.how != "random":
            raise ValueError('a seed belongs to how = "random"')
        if (self.how == "pairs") != (self.pairs is not None):
            raise ValueError('a list of pairs belongs to how = "pairs"')
        return self


class Host(pydantic.BaseModel, extra="forbid"):
    """What the host sends: connections come from `host.port`. Those to `host.port` give keys to ports that go nowhere
    else, so that the host can tell their packets apart."""

    keys: dict[str, KeyBlock] = {}


HOST = "host"
"""The name that stands for the host in connections."""


class Description(pydantic.BaseModel, extra="forbid"):
    """The whole file."""

    population: dict[str, Population] = pydantic.Field(min_length=1)
    connect: list[Connection] = []
    host: Host = Host()

    @pydantic.model_validator(mode="after")
    def _check(self) -> Description:
        if HOST in self.population:
            raise ValueError(f"no population is called {HOST}: that is the host, which sends by Chip.inject")
        for connection in self.connect:
            if connection.target.startswith(f"{HOST}.") and connection.how != "all":
                raise ValueError(f'the {HOST} is one: how = "all" leads to it')
            if connection.target.startswith(f"{HOST}.") and connection.source.startswith(f"{HOST}."):
                raise ValueError(f"the {HOST} does not send to itself")
        return self

    def senders(self) -> dict[str, Population]:
        """The populations, and the host if it sends."""
        sends = self.host.keys or any(connection.source.startswith(f"{HOST}.") for connection in self.connect)
        return {**self.population, **({HOST: Population(pes=1, keys=self.host.keys)} if sends else {})}
