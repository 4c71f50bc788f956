"""`python -m training.talker FOLDER`: train the talker and the code predictor.

`FOLDER/talker.pt` is written every few minutes; the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor

from training.layout import FIRST_UNIT, USED_GROUPS
from training.muon import Muon
from training.progress import Schedule, Trainer
from training.talker_data import EOS, PAD, Batch, Item, Prompts, batches, collate, load
from training.talker_model import END, Talker
from worker.checkpoints import tokenizer

STEPS = 20_000
PEAK_RATE = 3e-3
SEED = 0
HELD_OUT = 100  # utterances that are never learned from
PREDICTED_SHARE = 0.35  # of the frames that the code predictor learns from, for speed

_MATRIX_RATE = 1.75  # Muon's steps, times Adam's
_JUDGE_EVERY = 500
_NAMES = ("pointer", "second", "pitch", "detail", "detail2")


def losses(
    talker: Talker, batch: Batch, text_pad: int, share: float, rng: np.random.Generator
) -> dict[str, Tensor]:
    """The cross entropies of group 0 ("sound"), the pointer and each other group; `accuracy`.

    The groups after the first are judged on a drawn `share` of the frames.
    """
    states, logits = predict(talker, batch, text_pad)
    found = {
        "sound": functional.cross_entropy(logits, batch.end),
        "accuracy": (logits.argmax(1) == batch.end).float().mean(),
    }
    chosen = torch.nonzero(batch.end != END)[:, 0]
    if share < 1:
        drawn = rng.permutation(len(chosen))[: max(1, int(share * len(chosen)))]
        chosen = chosen[torch.from_numpy(drawn)]
    codes = batch.next[chosen]
    others = predict_rest(talker, states[chosen], codes)
    for name, other, group in zip(_NAMES, others, range(1, USED_GROUPS), strict=True):
        found[name] = functional.cross_entropy(other, codes[:, group])
    return found


def predict(talker: Talker, batch: Batch, text_pad: int) -> tuple[Tensor, Tensor]:
    """The hidden states [n, width] that predict a frame, and group 0's logits [n, END + 1]."""
    x = talker.embed_text(batch.text) + talker.embed_code(batch.code) * batch.coded[..., None]
    frames = talker.embed_frames(batch.heard) + talker.embed_text(torch.tensor([text_pad]))
    hidden = talker.model(x.index_put((batch.row, batch.column), frames))
    states = hidden[batch.from_row, batch.from_column]
    head = talker.codec_head.weight
    return states, torch.cat([states @ head[:END].T, states @ head[EOS : EOS + 1].T], 1)


def predict_rest(talker: Talker, states: Tensor, codes: Tensor) -> list[Tensor]:
    """The logits of groups 1 on, for states [n, width] and their true frames [n, GROUPS]."""
    first = talker.embed_code(codes[:, FIRST_UNIT])
    return talker.code_predictor(states, first, codes)


def main() -> None:
    """Train for `--steps` steps, or go on doing so."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    write_tokenizer(args.folder / "tokenizer")
    prompts = Prompts(args.folder)
    items = load(args.folder, prompts)
    held, items = items[:HELD_OUT], items[HELD_OUT:]
    talker = Talker(PAD)
    matrices = [p for name, p in talker.named_parameters() if ".layers." in name and p.dim() == 2]
    others = {p for p in talker.parameters() if p.requires_grad} - set(matrices)
    optimizers: list[torch.optim.Optimizer] = [
        Muon([{"params": matrices, "rate_scale": _MATRIX_RATE}], PEAK_RATE),
        torch.optim.AdamW(
            [p for p in talker.parameters() if p in others],
            PEAK_RATE,
            betas=(0.9, 0.98),
            weight_decay=0.0,
        ),
    ]
    print(
        f"{len(items)} utterances, {sum(len(one.spoken) for one in items) / 12.5 / 3600:.1f} hours;"
        f" {sum(p.numel() for p in talker.parameters()) / 1e6:.2f} million weights"
    )
    trainer = Trainer(
        args.folder / "talker.pt", talker, optimizers, Schedule(args.steps, PEAK_RATE)
    )
    order = batches(items, prompts.space, SEED)
    for _ in range(trainer.resume()):
        next(order)
    for step in trainer.steps():
        rng = np.random.default_rng([SEED, step])
        batch = collate(next(order), prompts, rng)
        found = losses(talker, batch, prompts.text_pad, PREDICTED_SHARE, rng)
        trainer.update(_sum(found), found)
        if (step + 1) % _JUDGE_EVERY == 0:
            print(f"held out at step {step + 1}: {judge(talker, held, prompts)}", flush=True)


def _sum(found: dict[str, Tensor]) -> Tensor:
    return torch.stack([loss for name, loss in found.items() if name != "accuracy"]).sum()


@torch.no_grad()
def judge(talker: Talker, held: list[Item], prompts: Prompts) -> str:
    """The losses of utterances that were never learned from, for reading."""
    rng = np.random.default_rng(SEED)
    groups = [held[start : start + 10] for start in range(0, len(held), 10)]
    found = [
        losses(talker, collate(group, prompts, rng, wrong=0.0), prompts.text_pad, 1.0, rng)
        for group in groups
    ]
    means = {name: float(torch.stack([one[name] for one in found]).mean()) for name in found[0]}
    return "  ".join(f"{name} {value:.3f}" for name, value in means.items())


def write_tokenizer(folder: Path) -> None:
    """Write the files of the small text tokenizer."""
    folder.mkdir(exist_ok=True)
    files = {
        "vocab.json": json.dumps(tokenizer.vocabulary("tiny"), indent=2, ensure_ascii=False),
        "tokenizer_config.json": json.dumps(tokenizer.tokenizer_config("tiny"), indent=2),
        "merges.txt": tokenizer.merges_text(),
    }
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
