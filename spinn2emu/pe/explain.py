"""What the compiler says of a program, in plain English, with the line of the program that it is about.

The compiler's own words, which speak of its types and of how it works, are only among the error's fields (`details`).
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable
from pathlib import Path
from types import FunctionType

from spinn2emu.errors import ProgramError
from spinn2emu.jit import NOT_A_CODE
from spinn2emu.pe.check import reachable

_PLACE = re.compile(r'(?:File "|at )([^"\s]+?\.py)(?:", line | \()(\d+)')
_UNKNOWN = "numba, which compiles kernels, can make nothing of this line (what it says is in the error's `details`)"
ALLOCATES = "a kernel cannot allocate (arrays, lists, strings, slices that are assigned): keep it in a region"


def explain(program: str, entry: FunctionType, error: Exception, name: str = "tick") -> ProgramError:
    """The ProgramError for what went wrong when an entry of a program, its `name`, was compiled."""
    text = re.sub(r"\x1b\[\d*m", "", str(error))
    files = {Path(function.__code__.co_filename).name: function.__code__.co_filename for function in reachable(entry)}
    places = [(files[Path(file).name], int(line)) for file, line in _PLACE.findall(text) if Path(file).name in files]
    file, line = places[0] if places else (entry.__code__.co_filename, entry.__code__.co_firstlineno)
    source = linecache.getline(file, line).strip()
    return ProgramError(
        f"program {program} does not compile: line {line} of {file}: {reason(text, name)}\n    {source}",
        program=program, line=line, file=file, details=text,
    )  # fmt: skip


def reason(text: str, name: str = "tick") -> str:
    """What an error of numba means; `name`: of the entry that was compiled."""
    if found := re.search(NOT_A_CODE + r" (.+?)(?:\n|$)", text):
        return f"{name} must return an integer in every case, 0 or an error code; here it may return {kind(found[1])}"
    for pattern, say in _REASONS:
        found = re.search(pattern, text, re.DOTALL)
        if found:
            return say(found)
    return _UNKNOWN


def kind(numba_type: str) -> str:
    """A type of numba in words."""
    for pattern, words in _KINDS:
        found = re.match(pattern, numba_type)
        if found:
            return words.format(*found.groups())
    return "something else"


_KINDS = [
    (r"(?:unaligned |readonly )?(?:array|Array)\(Record", "an array of records"),
    (r"(?:unaligned |readonly )?(?:array|Array)\((\w+), (\d)d", "an array of {0}"),
    (r"Pe\(", "`pe`"),
    (r"Ram\(", "`ram`"),
    (r"Record\(|Literal\[Record", "a record"),
    (r"(?:Literal\[str\]|unicode_type|\[unichr)", "a text"),
    (r"(?:Literal\[bool\]|bool)", "True or False"),
    (r"(?:Literal\[int\]|u?int\d+)", "an integer"),
    (r"(float\d+)", "a {0}"),
    (r"complex", "a complex number"),
    (r"none", "None"),
    (r"(?:OptionalType|\?|Optional)", "a number or None"),
    (r"(?:UniTuple|Tuple|Literal\[Tuple|StarArg)", "a tuple"),
    (r"(?:reflected list|list|ListType|List)", "a list"),
    (r"(?:DictType|dict)", "a dict"),
    (r"(?:reflected set|set)", "a set"),
    (r"(?:slice)", "a slice"),
    (r"Module", "a module"),
    (r"(?:type\(CPUDispatcher|Function|class|<class)", "a function or class"),
]


def _arguments(signature: str) -> list[str]:
    """The arguments in `name(a, b(c, d))`, up to the bracket that closes it."""
    parts, depth, part = [], 0, ""
    for char in signature[signature.index("(") + 1 :]:
        depth += (char in "([{<") - (char in ")]}>")
        if depth < 0:
            break
        if char == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += char
    return [one for one in (*parts, part.strip()) if one]


_SIGNS = {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "floordiv": "//", "mod": "%", "pow": "**", "and_": "&",
          "or_": "|", "xor": "^", "lshift": "<<", "rshift": ">>", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
          "eq": "==", "ne": "!=", "matmul": "@", "contains": "in"}  # fmt: skip


def _no_implementation(found: re.Match[str]) -> str:
    name, given = found[1], [kind(one) for one in _arguments(found[2])]
    plain = name.removeprefix("i") if name.removeprefix("i") in _SIGNS else name
    if name in ("setitem", "getitem") and len(given) > 1:
        target, index = given[0], given[1]
        if index not in ("an integer", "a tuple", "a slice"):
            return f"an index must be an integer, not {index}"
        if name == "setitem":
            return f"{given[2]} cannot be stored in {target}"
        return f"{target} cannot be read like this, with {index} as its index"
    if plain in _SIGNS and len(given) == 2:
        return f"{given[0]} {_SIGNS[plain]} {given[1]} cannot be computed"
    if re.fullmatch(r"u?int\d*|float\d*|bool_?|complex\d*", name):
        return f"a number is wanted here, not {', '.join(given)}"
    if name == "exception_match":
        return "a kernel cannot catch exceptions: nothing raises one"
    return f"`{name}` cannot be called with {', '.join(given) or 'nothing'} in a kernel"


def _call(found: re.Match[str]) -> str:
    missing = re.search(r"missing a required argument: '(\w+)'", found[2])
    what = f"the argument {missing[1]!r} is missing" if missing else "there are arguments too many"
    return f"{what} in this call of a function that takes {found[1]}"


def _attribute(found: re.Match[str]) -> str:
    module = re.match(r"Module\(<module '([\w.]+)'", found[2])
    if module:
        return (
            f"a kernel cannot use {module[1]}.{found[1]}: it has arithmetic, `math`, much of numpy, and `spinn2emu.sdk`"
        )
    return f"{kind(found[2])} has no {found[1]!r}"


def _variable(found: re.Match[str]) -> str:
    one, other, name = kind(found[1]), kind(found[2]), found[3].split(".")[0]
    if name.startswith("$"):
        return f"this is {one} in one case and {other} in another"
    if one == other:
        return f"`{name}` is not the same kind of thing in all cases"
    return f"`{name}` is {one} in one case and {other} in another: a variable has one type"


def _outside(found: re.Match[str]) -> str:
    return (
        f"a kernel cannot use {found[1]}, which is of Python's type {found[2]}: it sees numbers, tuples, arrays and "
        "functions that are compiled"
    )


_REASONS: list[tuple[str, Callable[[re.Match[str]], str]]] = [
    (r"The use of a reflected (list|set).*?assigned to variable '(\w+)' in globals",
     lambda found: f"a kernel cannot use {found[2]}, a {found[1]}: make it a tuple, or an array of numpy"),
    (r"Untyped global name '(\w+)'.*?type of <class '([\w.]+)'>", _outside),
    (r"NRT required|imprecise type: (?:DictType|list|set|ListType)", lambda found: ALLOCATES),
    (r"function (?:zeros|ones|empty|full|array|arange|linspace|copy|concatenate|stack|where|unique|sort)\w*>",
     lambda found: ALLOCATES),
    (r"Only accept returning of array", lambda found: "a kernel cannot make or return an array: keep it in a region"),
    (r"Cannot bind 'args=.*?' to signature '(\(.*?\))' due to (.*?)(?:\n|$)", _call),
    (r"No implementation of function Function\(<?(?:(?:built-in )?function |intrinsic |class '|ufunc ')?(\w+).*?"
     r">>> (\S.*)", _no_implementation),
    (r"Unknown attribute '(\w+)' of type ([^\n]+)", _attribute),
    (r"Cannot unify (.+?) and (.+?) for '([^']+)'", _variable),
    (r"module '([\w.]+)' has no attribute '(\w+)'", lambda found: f"there is no {found[1]}.{found[2]}"),
    (r"failed to unpack (\S+)", lambda found: f"{kind(found[1])} cannot be taken apart into several"),
    (r"wrong tuple length.*?expected (\d+), got (\d+)", lambda found: f"{found[2]} values for {found[1]} variables"),
    (r"Invalid use of getiter with parameters \((.*)\)", lambda found: f"there is no loop over {kind(found[1])}"),
    (r"Can't unify return type", lambda found: "this function returns different kinds of things: it must return one"),
    (r"Int value is too large: (-?\d+)", lambda found: f"{found[1]} does not fit 64 bits"),
    (r"[Vv]ariable '(\w+)'? ?(?:is )?referenced before assignment|NameError: name '(\w+)'",
     lambda found: f"`{found[1] or found[2]}` has no value here in some case"),
    (r"cannot type infer runaway recursion", lambda found: "a kernel that calls itself needs a case that does not"),
    (r"Cannot infer the type of variable '(\w+)",
     lambda found: f"nobody can tell from here what `{found[1]}` holds: give it a number first"),
]  # fmt: skip
