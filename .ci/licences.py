"""The licences of all packages in the images' lock files; fails for one that is not allowed."""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata
from pathlib import Path

LOCKS = sorted((Path(__file__).parents[1] / "requirements").glob("*.lock"))
# torch is chosen by its builder, so it is in no lock file.
OTHERS = {"torch"}
# SPDX's names, and what packages still write in their place.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "CNRI-Python"),
    *("ISC", "LLVM-exception", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0", "Zlib"),
    *("3-Clause BSD License", "Apache Software License", "BSD License", "ISC License (ISCL)"),
    "MIT License",
}
# Allowed for these alone, since they are used as they are: docs/decisions/0004-dependencies.md.
WEAK_COPYLEFT = {
    "soxr": "LGPL-2.1-or-later",
    "certifi": "Mozilla Public License 2.0 (MPL 2.0)",
    "orjson": "MPL-2.0",
    "tqdm": "MPL-2.0",
}
# Their metadata names none; their licence files do.
NAMED_IN_FILES = {"pyromark": "MIT"}


def main() -> str | None:
    """Print a line for each package; what is not allowed, if anything is."""
    refused = []
    for name in sorted(locked_names() | OTHERS):
        licences = licences_of(name)
        if licences is None:
            continue  # of another system or Python than this one
        sys.stdout.write(f"{name:24} {' · '.join(sorted(licences)) or 'none is named'}\n")
        if not licences or not all(is_allowed(name, each) for each in licences):
            refused.append(name)
    if not refused:
        return None
    return f"not on the list of licences in .ci/licences.py: {', '.join(refused)}"


def locked_names() -> set[str]:
    """The names of the packages in all lock files."""
    lines = [line for lock in LOCKS for line in lock.read_text("utf-8").splitlines()]
    return {found[0] for line in lines if (found := re.match(r"[A-Za-z0-9._-]+(?===)", line))}


def licences_of(name: str) -> set[str] | None:
    """The licences of an installed package, or None if it is not installed."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        return None
    if name in NAMED_IN_FILES:
        return {NAMED_IN_FILES[name]}
    return _read_licences(found)


def is_allowed(name: str, licence: str) -> bool:
    """True if a package may come under a licence."""
    return licence in ALLOWED or WEAK_COPYLEFT.get(name) == licence


def _read_licences(found: PackageMetadata) -> set[str]:
    if expression := found.get("License-Expression"):
        return _parts(expression)
    classifiers = [each for each in found.get_all("Classifier", []) if "License ::" in each]
    if classifiers:
        return {each.split("::")[-1].strip() for each in classifiers}
    return _parts(found["License"].strip().splitlines()[0]) if found.get("License") else set()


def _parts(expression: str) -> set[str]:
    """The licences of an expression; each has to be allowed, also where one may choose."""
    return set(re.split(r" (?:AND|OR|WITH) |[()]", expression)) - {""}


if __name__ == "__main__":
    sys.exit(main())
