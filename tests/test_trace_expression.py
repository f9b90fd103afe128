"""Expressions that choose events: against an evaluation event by event, and what they say when they are wrong."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_helpers import OPTIMIZER, TICK_NS, Recording, Type, example_trace, words_of

from spinn2emu.errors import ConfigError
from spinn2emu.packets import NO_PORT
from spinn2emu.trace.file import Trace
from spinn2emu.trace.schema import EVENT, Event, interface_name
from spinn2emu.trace.table import EVENT_NAMES
from spinn2host.traces.expression import MAX_DEPTH, parse, select
from spinn2host.traces.fields import FIELDS, FLAGS

TRACE = example_trace()
EVENTS = TRACE.events


def count(text: str, trace: Trace = TRACE) -> int:
    return int(parse(text)(trace).sum())


# 2 steps of 3 samples; sample 0 is on quad 7.5, sample 1 on 6.6, sample 2 on 6.5.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 420),
        ("  ", 420),
        ("dropped", 4),
        ("not dropped", 416),
        ("event == not_live", 2),
        ("event == not-live or event == unrouted", 4),
        ("type == error and src == 7.5.3 and event == sent", 2 * 3),
        ("type in (spike, error) and event == sent", 2 * 3 * (5 + 4 + 3) + 2 * 3 * 7 + 2),
        ("type not in (spike, error)", 48 + 48 + 16 + 48 + 4 + 24),
        ("key & 0xF0000000 == 0x10000000", 144),
        ("key & 0xf000_0000 in (0x10000000, 0x20000000)", 144 + 88),
        ("key == 0x23010002", 4),
        ("src == 7.5", 2 * (5 + 4 + 3 + 3 + 4 + 1 + 8) * 2),
        ("pe == 5.3", (4 + 24) + (16 + 48) + 48),
        ("pe == 149 && event == received", 48 + 24 + 48),
        ("dst == router", 184 + 2),
        ("dst != router", 234),
        ("tick >= 13 and tick < 14 and type == weight", 8 + 24),
        ("time >= 13ms and time < 14ms and type == weight", 8 + 24),
        ("time > 13000000", count("tick > 13") + count("tick == 13 and time != 13ms")),
        ("latency == 0.143us", count("latency == 143")),
        ("latency == 143ns and type == spike", 2 * 2 * 12),
        ("hops == 8 and type == spike", 2 * 2 * 12),
        ("phase == forward", 144),
        ("phase == forward and phase == 1", 2 * 3 * 5 * 2),
        ("phase == idle", 92),
        ("out == weights2", 2 * 3 * 4),
        ("port == weights", 48),
        ("port == 1", 48 + 2 * 3 * 3),
        ("port != weights", 232 - 48),
        ("not port == weights", 420 - 48),
        ("payload == 16 and event == sent", 2 * (8 + 24)),
        ("word3 & 0xFFFFFFFF >= 0 and event == sent", 2 * (8 + 24)),
        ("word0 == 0x3f000000", 4),
        ("value == 0.5", 4),
        ("value == 0.1 and event == sent", 2),
        ("value != 0.5", 44 * 2 + 48 * 2 + 16 + 48 - 4),
        ("id == 5.3.0@13+4", 1 + 3),
        ("ID == 5.3.0@13+4 AND NOT Event == Sent", 3),
        ("phase == 'go on' or phase == \"go on\"", 0),
        ("dropped or event==sent&&type==control", 4 + 4),
        ("(dropped or event == sent) and type == control", 4),
        ("!dropped&&!(tick>0)", count("tick == 0")),
    ],
)
def test_what_is_chosen(text: str, expected: int) -> None:
    assert count(text) == expected


def test_select_keeps_what_the_file_said() -> None:
    chosen = select(TRACE, "type == control")
    assert chosen.meta is TRACE.meta
    assert len(chosen.events) == 28
    assert (chosen.events["type"] == Type.CONTROL).all()
    assert select(TRACE, " ") is TRACE
    assert count("type == control", Trace(np.empty(0, EVENT), TRACE.meta)) == 0


def test_values_that_are_no_numbers() -> None:
    recording = Recording()
    for word in words_of([math.nan, math.inf, -math.inf, 1e30]):
        recording.send(0, OPTIMIZER, Type.ERROR, 0, {}, [word])
    recording.send(0, OPTIMIZER, Type.SPIKE, 0, {})
    counts = {"nan": 1, "inf": 1, "-inf": 1, "1e30": 1, "1e300": 1}  # 1e300 is inf as float32
    assert {text: count(f"value == {text}", recording.trace()) for text in counts} == counts
    assert count("value != nan", recording.trace()) == 3
    assert count("value > 0", recording.trace()) == 2


def test_names_need_to_be_in_the_trace_only_if_they_are_used() -> None:
    nameless = Trace(EVENTS)
    assert count("phase == 1", nameless) == count("phase == 1")
    with pytest.raises(ConfigError, match="the trace has no names"):
        parse("phase == forward")(nameless)
    with pytest.raises(
        ConfigError, match=r"(?s)port: none is called 'weight'; did you mean 'weights'\?.*control, errors"
    ):
        parse("port == weight")(TRACE)
    with pytest.raises(ConfigError, match="phase: names have no order"):
        parse("phase < forward")(TRACE)


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "position", "message", "possible"),
    [
        ("typ == error", 0, "there is no field 'typ'; did you mean 'type'?", "fields: event, type, src"),
        ("event == dropped", 9, "there is no 'dropped'", "sent, received, unrouted"),
        ("type = error", 5, "'=' alone does not compare", "=="),
        ("dropped | tick == 3", 8, "'|' alone", "||, or"),
        ("tick", 4, "tick is compared with nothing", "==, !=, <, <=, >, >=, in, not in"),
        ("tick ==", 7, "a value is missing", "the tick in which it was sent"),
        ("tick == )", 8, "')' is no value", ""),
        ("tick == x3", 8, "'x3' is no integer", ""),
        ("key & 0x1ffffffff == 3", 6, "'0x1ffffffff' is no mask", "32 bits"),
        ("key & 0xFF", 10, "key is compared with nothing", "=="),
        ("hops & 1 == 1", 7, "hops has no mask", "key & MASK"),
        ("type < error", 5, "type has no order", "==, !=, in, not in"),
        ("src == 4.4.0", 7, "'4.4.0' is no PE", "a quad 1.2"),
        ("id == 1.2.1", 6, "'1.2.1' is no packet", ""),
        ("id == 9.9.9@1+2", 6, "'9.9.9' is no PE", ""),
        ("time > 3 h", 9, "'h' does not fit here", "and, or, the end"),
        ("time > 3h", 7, "'3h' is no time", ""),
        ("value > big", 8, "'big' is no number", ""),
        ("dropped == 1", 8, "dropped is true or false and stands alone", "not dropped"),
        ("tick in 3", 8, "a list is missing", "(VALUE, VALUE, …)"),
        ("tick in (3, 4", 13, "the list is not closed", "a comma"),
        ("tick not 3", 5, "'not' does not compare tick", "not in"),
        ("(tick == 3", 10, "the parenthesis of character 1 is not closed", ")"),
        ("tick == 3)", 9, "')' does not fit here", "the end"),
        ("tick == 3 and", 13, "something is missing", "a field"),
        ("== 3", 0, "'==' does not fit here", "a field"),
        ("phase == 'go on", 9, "the quote is not closed", ""),
        ("tick == 3 # all", 10, "'#' does not belong", ""),
        ("(" * (MAX_DEPTH + 1), MAX_DEPTH, "more than 50", ""),
    ],
)  # fmt: skip
def test_errors_show_the_place(text: str, position: int, message: str, possible: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    is_refused_at(caught.value, text, position, message, possible)


def is_refused_at(error: ConfigError, text: str, position: int, message: str, possible: str) -> None:
    first, shown, caret, *rest = error.message.split("\n")
    assert message in first
    assert first.endswith(f"at character {position + 1} of the expression:")
    assert (shown, caret) == (f"  {text}", "  " + " " * position + "^")
    assert possible in "\n".join(rest)
    assert (error.text, error.position) == (text, position)


def test_a_type_that_the_trace_does_not_know_is_refused() -> None:
    expression = parse("tick > 3 and type == erorr")
    with pytest.raises(ConfigError) as caught:
        expression(TRACE)
    known = "possible: multicast, core_to_core, nearest_neighbour, global, spike, error"
    is_refused_at(caught.value, expression.text, 21, "there is no 'erorr'; did you mean 'error'?", known)


@given(st.text("tickevenrpsdo &|!=<>()',\"0123.@+-\n" + "é", max_size=30))
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        mask = parse(text)(TRACE)
    except ConfigError as error:
        assert 0 <= error.position <= len(text)
        assert len(error.message.split("\n")) in (3, 4, 5)
    else:
        assert mask.shape == EVENTS.shape
        assert mask.dtype == np.bool_


# --- against an evaluation event by event ----------------------------------------------------------------------------

Test = Callable[[np.void], bool]
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def words(event: np.void) -> list[int]:
    size = (0, 1, 2, 4)[int(event["control"]) >> 4 & 3]
    return [int(word) for word in event["payload"][:size]]


def number_of(field: str, event: np.void) -> float | None:
    """The plain reading of a field; None: the event does not have it."""
    if field.startswith("word"):
        own = words(event)
        return own[int(field[4])] if int(field[4]) < len(own) else None
    if field == "value":
        return float(struct.unpack("<f", struct.pack("<I", words(event)[0]))[0]) if words(event) else None
    if field == "payload":
        return 4 * len(words(event))
    if field == "latency":
        return int(event["time"]) - int(event["tick"]) * TICK_NS - int(event["sent"])
    if field == "port" and event["port"] == NO_PORT:
        return None
    return int(event[field])


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, Test]:
    field = draw(st.sampled_from(["key", "tick", "time", "latency", "hops", "phase", "out", "port", "payload", "word0",
                                  "word3", "value"]))  # fmt: skip
    of_some_event = number_of(field, EVENTS[draw(st.integers(0, len(EVENTS) - 1))]) or 0
    value = of_some_event + draw(st.sampled_from([0, 1, -1])) if field != "value" else of_some_event
    value = max(value, 0) if field in ("time", "latency") else value
    sign = draw(st.sampled_from(sorted(OPERATORS)))
    mask = draw(st.sampled_from([None, 0xF0000000, 0xFFFF])) if field in ("key", "word0", "word3") else None

    def test(event: np.void) -> bool:
        own = number_of(field, event)
        if own is None:
            return False
        return OPERATORS[sign](own if mask is None else int(own) & mask, value)

    masked = field if mask is None else f"{field} & {mask:#x}"
    return f"{masked} {sign} {value}", test


@st.composite
def names(draw: st.DrawFn) -> tuple[str, Test]:
    field, values, of = draw(
        st.sampled_from(
            [
                ("event", EVENT_NAMES, lambda e: {Event(e["event"]).name.lower()}),
                ("type", [type_.name.lower() for type_ in Type], lambda e: {Type(e["type"]).name.lower()}),
                (
                    "phase",
                    ["forward", "idle", "go on"],
                    lambda e: {TRACE.meta.name_of("phases", e["source"], e["phase"])},
                ),
                ("out", ["spikes", "weights1"], lambda e: {TRACE.meta.name_of("outputs", e["source"], e["out"])}),
                ("src", ["7.5.1", "6.6", "link0"], lambda e: places(e["source"])),
                ("dst", ["7.5.1", "6.6", "router"], lambda e: places(e["target"])),
                ("pe", ["7.5.1", "5.3", "router"], lambda e: places(e["source"]) | places(e["target"])),
            ]
        )
    )
    chosen = draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))
    negated = draw(st.booleans())
    quoted = ", ".join(f'"{value}"' for value in chosen)
    text = f"{field} {'not ' if negated else ''}in ({quoted})"
    if len(chosen) == 1 and draw(st.booleans()):
        text = f"{field} {'!=' if negated else '=='} {quoted}"
    return text, lambda event: bool(of(event) & set(chosen)) != negated


def places(number: int) -> set[str]:
    name = interface_name(int(number))
    return {name, name.rpartition(".")[0]}


flags = st.just(("dropped", lambda event: event["event"] >= Event.UNROUTED))


def combined(inner: st.SearchStrategy[tuple[str, Test]]) -> st.SearchStrategy[tuple[str, Test]]:
    both = st.sampled_from([("and", all), ("&&", all), ("or", any), ("||", any)])
    pairs = st.tuples(both, st.lists(inner, min_size=2, max_size=3)).map(
        lambda drawn: (
            "(" + f" {drawn[0][0]} ".join(text for text, _ in drawn[1]) + ")",
            lambda event: drawn[0][1](test(event) for _, test in drawn[1]),
        )
    )
    negations = inner.map(lambda drawn: (f"not ({drawn[0]})", lambda event: not drawn[1](event)))
    return pairs | negations


@given(st.recursive(numbers() | names() | flags, combined, max_leaves=5))
def test_masks_agree_with_an_evaluation_event_by_event(expression: tuple[str, Test]) -> None:
    text, test = expression
    some = Trace(EVENTS[::7], TRACE.meta)
    assert parse(text)(some).tolist() == [bool(test(event)) for event in some.events], text


def test_every_field_is_tried() -> None:
    assert set(FIELDS) | set(FLAGS) == {
        "event", "type", "src", "dst", "pe", "key", "tick", "time", "latency", "hops", "phase", "out", "port",
        "payload", "word0", "word1", "word2", "word3", "value", "id", "dropped", "population", "neuron",
    }  # fmt: skip
