"""Regular expressions in an adapter's config, which PEFT matches with every layer's name: some of them would never come to an end.

Python cannot end a match that has begun, so the patterns are tried in a process of their own, which the system ends.
"""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterable, Iterator
from typing import Any

PLAIN = re.compile(r"[\w.\-]*", re.ASCII)
WHOLE = ("target_modules", "exclude_modules", "feedforward_modules", "target_parameters")  # lists of these are compared as they are
PARTS = ("modules_to_save", "layers_pattern")  # and these are put into a pattern, as the keys of every *_pattern are
FEW = 1000  # plain names, which take no time
SECONDS = 1  # of the processor, for all patterns with all names; usual ones take a thousandth
WALL_SECONDS = 60  # on a machine that is busy with other things
FORMS = ("{}", r"(.*\.)?({})$", r".*\.{}$", r"(^|.*\.){}($|\..*)", r"(?:^|.*?\.){}\.(?P<idx>\d+)\.")  # of PEFT's own
BELOW = ("", ".base_layer", ".lora_A.default")  # a layer's name, and what it becomes beside an adapter's


def pattern_problem(config: Any, names: Iterable[str]) -> str:
    """Why a PEFT config cannot be matched with a base model's layers, as half a sentence; empty where it can be."""
    names = list(names)
    for field in WHOLE:
        listed = getattr(config, field, None) or ()
        if not isinstance(listed, str) and len(listed) > max(FEW, 2 * len(names)):
            return f"its {field} has {len(listed):,} entries, and the base model has {len(names):,} layers"
    patterns = sorted(set(_patterns(config)))
    if len(patterns) <= FEW and all(PLAIN.fullmatch(pattern) for pattern in patterns):
        return ""
    try:
        tried = subprocess.run([sys.executable, "-I", "-S", __file__], text=True, capture_output=True, timeout=WALL_SECONDS,
                               input=json.dumps({"patterns": patterns, "names": names}))
    except subprocess.TimeoutExpired:
        return _endless(patterns)
    if tried.returncode < 0:  # ended by the system
        return _endless(patterns)
    return tried.stdout if tried.returncode == 0 else f"its patterns cannot be read ({tried.stderr.strip().splitlines()[-1][:200]})"


def _endless(patterns: list[str]) -> str:
    told = max(patterns, key=lambda pattern: not PLAIN.fullmatch(pattern))
    return (f"the pattern '{told[:100]}' for its layers takes too long to match with the base model's layers. Name the layers, or "
            "write a pattern without repeats inside repeats")


def _patterns(config: Any) -> Iterator[str]:
    """Every string of a config that PEFT may take for a regular expression."""
    for name, value in vars(config).items():
        if name in WHOLE and isinstance(value, str):
            yield value
        elif name in PARTS and value:
            yield from (value,) if isinstance(value, str) else map(str, value)
        elif name.endswith("_pattern") and isinstance(value, dict):
            yield from map(str, value)


def _try(patterns: list[str], names: list[str]) -> str:
    """Match all with all, as PEFT does; what is wrong with the first pattern that is none."""
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    for pattern in patterns:
        for form in FORMS:
            try:
                compiled = re.compile(form.replace("{}", pattern))
            except (re.error, RecursionError, OverflowError) as error:
                if form == "{}":
                    return f"the pattern '{pattern[:100]}' for its layers is not a regular expression ({error})"
                continue
            for name in names:
                for below in BELOW:
                    if form == "{}":
                        compiled.fullmatch(name + below)
                        compiled.search(name + below)
                    else:
                        compiled.match(name + below)
    return ""


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    sys.stdout.write(_try(asked["patterns"], asked["names"]))
