"""luacheck on the ledger's Lua steps, each as Redis gets it: with its key names and libraries."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from shared.store import scripts

FOLDER = Path(scripts.__file__).parent / "lua"
# What Redis adds to Lua 5.1; a step may read these and sets no global.
# Source: redis.io, "Redis Lua API reference: runtime libraries".
GLOBALS = ("redis", "cjson", "cmsgpack", "bit", "struct", "KEYS", "ARGV")
LUACHECK = (
    *("luacheck", "--formatter", "plain", "--codes", "--std", "lua51"),
    *("--no-max-line-length", "--read-globals", *GLOBALS),
)
WARNING = re.compile(r"(?P<step>[^:]+)\.lua:(?P<line>\d+):(?P<column>\d+): (?P<text>.*)")
UNUSED = "(W211)"


def main() -> str | None:
    """Lint all steps; the warnings, if there are any."""
    if shutil.which("luacheck") is None:
        sys.stderr.write("The Lua steps were not linted: there is no luacheck, and no apt-get.\n")
        return None
    libraries = {
        part for parts in (scripts.COMMON_PARTS, *scripts.PARTS_OF_STEPS.values()) for part in parts
    }
    steps = sorted({file.stem for file in FOLDER.glob("*.lua")} - libraries)
    lines = {step: _source_lines(step) for step in steps}
    warnings = Counter(_warnings(lines))
    loads = Counter(file for step in steps for file in {file for file, _ in lines[step]})
    # A step needs not use all of its libraries; what none of the steps uses is a finding.
    found = [
        f"{FOLDER.name}/{file}.lua:{line}:{column}: {text}"
        for (file, line, column, text), times in sorted(warnings.items())
        if UNUSED not in text or times == loads[file]
    ]
    return "\n".join(found) or None


def _source_lines(step: str) -> list[tuple[str, int]]:
    """The file and the line in it that each line of a step comes from, as Redis gets the step."""
    files = (*scripts.PARTS_OF_STEPS.get(step, scripts.COMMON_PARTS), step)
    lines = [
        (file, number)
        for file in files
        for number in range(1, len((FOLDER / f"{file}.lua").read_text().splitlines()) + 1)
    ]
    names = len(scripts.load(step).splitlines()) - len(lines)
    return [("keys", number) for number in range(1, names + 1)] + lines


def _warnings(lines: dict[str, list[tuple[str, int]]]) -> list[tuple[str, int, str, str]]:
    """All warnings of luacheck, each by its file, line and column there."""
    with TemporaryDirectory() as folder:
        for step in lines:
            # luacheck knows no `#!lua`; as a comment, it leaves the lines' numbers as they are.
            Path(folder, f"{step}.lua").write_text(f"--{scripts.load(step)}")
        files = [f"{step}.lua" for step in lines]
        done = subprocess.run([*LUACHECK, "--", *files], cwd=folder, capture_output=True, text=True)
    if done.returncode > 2 or done.stderr:  # 1: warnings, 2: errors
        raise RuntimeError(done.stdout + done.stderr)
    return [
        (*lines[found["step"]][int(found["line"]) - 1], found["column"], found["text"])
        for found in map(WARNING.fullmatch, done.stdout.splitlines())
        if found
    ]


if __name__ == "__main__":
    sys.exit(main())
