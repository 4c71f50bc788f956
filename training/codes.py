"""`python -m training.codes FOLDER`: the codebooks, fitted without a network, and all codes.

A unit's 192 log powers and 4 voicings go through a PCA. The first code clusters them together with
the phone, so that it says which sound it is; the second quantises what the first leaves.
Writes `FOLDER/codebooks.npz` once, then `FOLDER/codes/NNN.npz` for each shard of speech.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.cluster import MiniBatchKMeans

from training.layout import DETAIL_SIZE, FIRST_SIZE
from training.shards import read, shards
from training.units import BANDS, COLUMNS, PHONES, Floats, Ints, Speech

COMPONENTS = 40
FIT_SHARDS = 4
SEED = 0

_VOICING_WEIGHT = 6.0
_PHONE_COMPONENTS, _PHONE_WEIGHT = 20, 8.0  # of the first code's features


@dataclass(frozen=True)
class Codebooks:
    """A PCA (`mean` [196], `basis` [196, 40]) and its two codebooks.

    `sounds` [1024, 20 + phones] are the first code's clusters, `first` [1024, 40] their means in
    the PCA's space and `detail` [256, 40] those of what is left.
    """

    mean: Floats
    basis: Floats
    sounds: Floats
    first: Floats
    detail: Floats

    def encode(self, speech: Speech) -> tuple[Ints, Ints]:
        """The first and second code of each unit."""
        points = (_features(speech) - self.mean) @ self.basis
        first = _nearest(_with_phones(points, speech.phones), self.sounds)
        return first, _nearest(points - self.first[first], self.detail)

    def decode(self, first: Ints, detail: Ints) -> tuple[Floats, Floats]:
        """The envelope [units, COLUMNS, BANDS] and voicing [units, COLUMNS] of codes."""
        features = (self.first[first] + self.detail[detail]) @ self.basis.T + self.mean
        envelope = features[:, : COLUMNS * BANDS].reshape(-1, COLUMNS, BANDS)
        return envelope, features[:, COLUMNS * BANDS :] / _VOICING_WEIGHT


def load(folder: Path) -> Codebooks:
    """The codebooks of a training folder."""
    with np.load(folder / "codebooks.npz") as file:
        return Codebooks(**file)


def fit(speeches: list[Speech]) -> Codebooks:
    """Codebooks of these speeches."""
    features = np.concatenate([_features(speech) for speech in speeches])
    phones = np.concatenate([speech.phones for speech in speeches])
    mean: Floats = features.mean(0)
    centred = features - mean
    covariance: Floats = centred.T @ centred / len(centred)
    spread, directions = np.linalg.eigh(covariance.astype(np.float64))
    basis: Floats = directions[:, ::-1][:, :COMPONENTS].astype(np.float32)
    points: Floats = centred @ basis
    print(
        f"{len(points)} units; the PCA keeps {spread[::-1][:COMPONENTS].sum() / spread.sum():.3f}"
    )

    sounds = _clusters(_with_phones(points, phones), FIRST_SIZE)
    labels = _nearest(_with_phones(points, phones), sounds)
    sums = np.zeros((FIRST_SIZE, COMPONENTS), np.float32)
    np.add.at(sums, labels, points)
    counts: Floats = np.bincount(labels, minlength=FIRST_SIZE).astype(np.float32)
    first = sums / np.maximum(counts, 1)[:, None]
    left = points - first[labels]
    detail = _clusters(left, DETAIL_SIZE)
    rest = left - detail[_nearest(left, detail)]
    shares = [float((one**2).sum() / (points**2).sum()) for one in (left, rest)]
    print(f"left over after the first code {shares[0]:.4f}, after the second {shares[1]:.4f}")
    return Codebooks(mean, basis, sounds, first, detail)


def _features(speech: Speech) -> Floats:
    units = len(speech.pitch)
    voicing = speech.voiced * _VOICING_WEIGHT
    return np.concatenate([speech.envelope.reshape(units, -1), voicing], 1)


def _with_phones(points: Floats, phones: Ints) -> Floats:
    marks = np.eye(len(PHONES), dtype=np.float32)[phones] * _PHONE_WEIGHT
    return np.concatenate([points[:, :_PHONE_COMPONENTS], marks], 1)


def _clusters(points: Floats, count: int) -> Floats:
    means = MiniBatchKMeans(count, batch_size=4_096, max_iter=60, n_init=1, random_state=SEED)
    return means.fit(points).cluster_centers_.astype(np.float32)


def _nearest(points: Floats, centres: Floats) -> Ints:
    distances = (centres**2).sum(1) - 2 * points @ centres.T
    return distances.argmin(1)


def main() -> None:
    """Fit the codebooks if there are none, and encode the shards that have no codes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    (folder / "codes").mkdir(exist_ok=True)
    if not (folder / "codebooks.npz").exists():
        speeches = [one.speech for shard in shards(folder)[:FIT_SHARDS] for one in read(shard)]
        np.savez(folder / "codebooks.npz", **vars(fit(speeches)))
    books = load(folder)
    for shard in shards(folder):
        path = folder / "codes" / shard.name
        if path.exists():
            continue
        first, detail = zip(*(books.encode(one.speech) for one in read(shard)), strict=True)
        np.savez(path, first=np.concatenate(first), detail=np.concatenate(detail))
        print(f"codes of shard {shard.stem}", flush=True)


if __name__ == "__main__":
    main()
