"""Every public name with its signature: python -m tests.public_names writes the listing again.

A name is public if a page of docs/reference lists it; so are the methods of a public class whose
names have no underscore. A change of the listing is a change of what minidl promises.
"""

import importlib
import inspect
import re
from functools import cached_property, partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
LISTING = ROOT / "tests/golden/public_names.txt"
LINE = re.compile(r"\.\. (currentmodule|auto\w+|py:data):: ([\w.]+)")


def listed():
    """(module, name) of each entry of the reference, in its order."""
    for page in sorted((ROOT / "docs/reference").glob("*.md")):
        module = None
        for kind, name in LINE.findall(page.read_text(encoding="utf-8")):
            if kind == "currentmodule":
                module = name
            else:
                yield module, name


def parameters(thing):
    """The parameters of a callable, without types and `self`."""
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return "" if "__init__" not in vars(thing) else parameters(vars(thing)["__init__"])
    signature = inspect.signature(thing)
    plain = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
        if p.name != "self" and not p.name.startswith("_")
    ]
    text = str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty))
    return re.sub(r"<(\w+) (?:[\w.]+\.)?(\w+)(?: at 0x\w+)?>", r"<\1 \2>", text)


def own_members(cls):
    """(name, member) of the public members of a class that minidl defines, inherited ones too."""
    for name in sorted(dir(cls)):
        owner = next((c for c in cls.__mro__ if name in vars(c)), object)
        if not name.startswith("_") and owner.__module__.startswith("minidl"):
            yield name, vars(owner)[name]


def lines_of(module, name):
    """The lines of the listing for a public name."""
    thing = getattr(importlib.import_module(module), name)
    path = f"{module}.{name}"
    routine = inspect.isroutine(thing) and not isinstance(thing, partial)  # a routine from 3.14 on
    if not routine and not inspect.isclass(thing):
        yield path
        return
    yield path + parameters(thing)
    if inspect.isclass(thing):
        known = [getattr(importlib.import_module(m), n) for m, n in listed()]
        bases = [base for base in thing.__mro__[1:] if base in known]
        inherited = {n for base in bases for n, _ in own_members(base)}
        for member, value in own_members(thing):
            if member in inherited and member not in vars(thing):
                continue
            function = getattr(value, "__func__", value)  # of a classmethod
            if isinstance(value, property | cached_property):
                yield f"  .{member}"
            elif inspect.isroutine(function) and callable(function):
                yield f"  .{member}{parameters(function)}"


def listing():
    """The text of the listing."""
    return "".join(f"{line}\n" for entry in sorted(set(listed())) for line in lines_of(*entry))


def names():
    """{module without "minidl.", or "": names} of the stored listing, for tests."""
    found = {}
    for line in LISTING.read_text(encoding="utf-8").splitlines():
        if path := re.match(r"minidl\.([\w.]+)", line):
            module, _, name = path[1].rpartition(".")
            found.setdefault(module, []).append(name)
    return found


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
