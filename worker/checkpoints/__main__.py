"""`python -m worker.checkpoints tiny custom_voice DIR`: make a checkpoint with random weights."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from worker.checkpoints.configs import CHECKPOINT_KINDS, CHECKPOINT_SIZES
from worker.checkpoints.make import make_checkpoint


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.checkpoints",
        description="Make a Qwen3-TTS checkpoint with random weights; it speaks noise.",
    )
    parser.add_argument("size", help=", ".join(CHECKPOINT_SIZES))
    parser.add_argument("kind", help=", ".join(CHECKPOINT_KINDS))
    parser.add_argument("folder", type=Path, help="a folder that is empty or not there yet")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same weights (0)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; 0 when the checkpoint is there, 2 with one sentence when it cannot be."""
    args = _parser().parse_args(argv)
    try:
        made = make_checkpoint(args.size, args.kind, args.folder, args.seed)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{made}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
