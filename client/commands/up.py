"""`narrate up`: run the whole service in the foreground until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections.abc import Sequence
from types import FrameType
from typing import Self

from client import terminal
from client.errors import ChildExited, RequestRefused, ServerUnreachable, StartFailed
from client.local.stack import POLL_INTERVAL_S, Stack
from client.models import Model
from client.narrator import DEFAULT_URL, Narrator

# A faster precision is told of from this gain on.
MIN_SPEEDUP = 1.2


class StopRequest:
    """True after the first Ctrl-C, SIGTERM or SIGHUP; the second one kills the stack.

    A flag rather than an exception: no signal interrupts the code between the start of a process
    and the assignment that keeps it.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, stack: Stack) -> None:
        self._stack, self._asked = stack, False

    def __bool__(self) -> bool:
        return self._asked

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._on_signal) for number in self.SIGNALS}
        return self

    def __exit__(self, *exc_info: object) -> None:
        for number, action in self._before.items():
            signal.signal(number, action)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            self._stack.kill()
        self._asked = True


def up(args: argparse.Namespace) -> int:
    """Start the stack, print when it is ready, restart processes that end, stop on a signal.

    Returns 0 after a signal, 1 if a process cannot start. Raises StartFailed before any process
    has started.
    """
    if not args.models and not os.environ.get("TTS_MODEL") and os.environ.get("MODEL"):
        terminal.note("MODEL is read for this version only: name it TTS_MODEL")
    stack = Stack(
        args.models or args.default_models,
        data=args.data,
        host=args.host,
        port=args.port,
        workers=args.workers,
        precision=args.precision,
        model_memory=args.model_memory,
    )
    workers = "a worker" if stack.workers == 1 else f"{stack.workers} workers"
    is_shared = stack.model_memory is not None
    each = " each" if len(stack.models) > 1 and not is_shared else ""
    with StopRequest(stack) as stop_requested, stack:
        terminal.note(
            f"Starting Redis, the API on {stack.url} and {workers}{each} for "
            f"{', '.join(stack.models)}; everything is kept in {stack.data}"
        )
        try:
            _run(stack, stop_requested)
        except (ChildExited, StartFailed) as error:
            terminal.error(f"{error}; stopping the rest")
            return 1
        terminal.note("Stopping when the segments under way are done; Ctrl-C again to stop now")
    return 0


def _run(stack: Stack, stop_requested: StopRequest) -> None:
    announced = False
    while not stop_requested:
        for ended in stack.restart_ended():
            # A restart helps after a signal, not after a failed start or an exit code.
            is_hopeless = not isinstance(ended, ChildExited) or ended.exit_code > 0
            if not announced and is_hopeless:
                raise ended
            terminal.note(f"{ended}; starting it again")
        announced = announced or (stack.ready() and _announce(stack.url))
        time.sleep(POLL_INTERVAL_S)


def _announce(url: str) -> bool:
    """Print that the stack is ready. Returns False if the API does not answer any more."""
    try:
        with Narrator(url) as narrator:
            served = [model for model in narrator.models() if model.workers]
    except RequestRefused as error:
        terminal.say(f"Ready on {url} ({error.message}, or set NARRATE_KEY); Ctrl-C stops it")
        return True
    except ServerUnreachable:
        return False
    terminal.say(f"Ready on {url} with {', '.join(model.id for model in served)}; Ctrl-C stops it")
    for model in served:
        if (times := model.int8_speedup) and times >= MIN_SPEEDUP:
            terminal.say(
                f"int8 would speak {times:.1f} times as fast to one listener on this machine:"
                f" --precision int8 (what it changes: python -m worker.evaluate --model {model.id})"
            )
    terminal.say(f"Try in another terminal: {_example(url, served)}")
    return True


def _example(url: str, served: Sequence[Model]) -> str:
    tasks = {model.task for model in served}
    options = ""
    if "custom_voice" not in tasks:
        designs = "voice_design" in tasks
        options = ' --instructions "A warm, low voice"' if designs else " --reference voice.wav"
    where = "" if url == DEFAULT_URL else f" --url {url}"
    return f'narrate say "Hello there." -o hello.wav{options}{where}'
