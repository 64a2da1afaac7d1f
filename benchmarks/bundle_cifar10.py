"""Cut the bundled subset of CIFAR-10 out of all 60,000 images: `python benchmarks/bundle_cifar10.py [--out DIR]`.

Writes DIR/sheet.webp (lossless, 100 images a row: rows 0-49 train, five rows a class; rows 50-59 test, one row a
class) and DIR/index.json (the place of each image in the canonical file of asset "cifar10-full"). Prints what belongs
in the card and in the table of assets. The pixels are the same on every machine; the bytes of the file also depend on
the version of libwebp. Takes about a minute.
"""

import argparse
import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image, features

from ftcourse.assets import data_dir, fetch

RECORD, TRAIN, PER_CLASS = 3073, 50_000, {"train": 500, "test": 100}


def choose(records: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Positions of the chosen records, class after class: seeded, and no picture twice."""
    rng, seen, chosen = np.random.default_rng(seed), set(), {}
    for part, rows in (("test", slice(TRAIN, None)), ("train", slice(0, TRAIN))):
        first, labels, chosen[part] = rows.start, records[rows, 0], []
        for label in range(10):
            fresh = []
            for i in rng.permutation(np.flatnonzero(labels == label) + first):
                pixels = records[i, 1:].tobytes()
                if pixels in seen: continue
                seen.add(pixels)
                fresh.append(int(i))
                if len(fresh) == PER_CLASS[part]: break
            chosen[part] += fresh
    return {part: np.array(chosen[part]) for part in ("train", "test")}


def sheet(pixels: np.ndarray) -> np.ndarray:
    """Images (6000 x 3 x 32 x 32) laid out 100 a row: 1920 x 3200 x 3."""
    return pixels.reshape(60, 100, 3, 32, 32).transpose(0, 3, 1, 4, 2).reshape(60 * 32, 100 * 32, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=data_dir() / "cifar10")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    records = np.fromfile(fetch("cifar10-full"), np.uint8).reshape(-1, RECORD)
    chosen = choose(records, args.seed)
    pixels = records[np.concatenate(list(chosen.values())), 1:].reshape(-1, 3, 32, 32)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "sheet.webp"
    Image.fromarray(sheet(pixels)).save(path, lossless=True, quality=100, method=6)
    with Image.open(path) as written: assert np.array_equal(np.asarray(written.convert("RGB")), sheet(pixels))
    index = {part: positions.tolist() for part, positions in chosen.items()}
    (args.out / "index.json").write_text(json.dumps(index, separators=(",", ":")) + "\n")
    print(f"{path}: {path.stat().st_size:,} bytes, libwebp {features.version('webp')}")
    print(f"sha256 of the file   {hashlib.sha256(path.read_bytes()).hexdigest()}")
    print(f"sha256 of the pixels {hashlib.sha256(pixels.tobytes()).hexdigest()}  (6000 x 3 x 32 x 32, uint8)")


if __name__ == "__main__":
    main()
