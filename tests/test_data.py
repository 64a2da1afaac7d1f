"""The contract of ftcourse.data: pictures as a person sees them, splits without leaks, a draw for each image."""

import multiprocessing
import os
import shutil
import struct
import warnings
import zlib
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.transforms.v2 import functional as F

from ftcourse import data as D
from ftcourse.assets import InputError, assets, cache_dir, data_dir


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(seed, size=(40, 40)):
    """A picture of its own for each seed: smooth, so that JPEG and scaling change it little."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)


def folder(root, counts, start=0):
    """A folder of pictures: {"cat": 5, "train/dog": 3}, no two alike. Returns its path."""
    for name, n in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n): picture(start := start + 1).save(root / name / f"{i:03d}.png")
    return root


def one_line(error): return "\n" not in str(error.value) and str(error.value)


def decode(path, size=40):
    pixels = D._decode(path, size)
    assert not isinstance(pixels, str), pixels
    return pixels.astype(int)


# CIFAR-10


def test_bundled_cifar10():
    task = D.load_task("cifar10")
    assert [s.counts() for s in (task.train, task.valid, task.test)] == [[450] * 10, [50] * 10, [100] * 10]
    assert task.train.inputs.shape == (4500, 3, 32, 32) and task.train.inputs.dtype == torch.uint8
    assert task.classes[0] == "airplane" and task.classes[9] == "truck" and task.notes == []
    assert task.source == {"name": "cifar10", "source": "bundled with ftcourse", "sha256": assets()["cifar10"].sha256}
    images = torch.cat([task.train.inputs, task.valid.inputs, task.test.inputs])
    assert len(images.flatten(1).unique(dim=0)) == 6000
    assert sum(f.stat().st_size for f in (data_dir() / "cifar10").iterdir()) < 16e6


def test_bundled_cifar10_is_what_the_index_says_it_is():
    """Against the full file, where it is in the cache: same pixels and labels, train from train, test from test."""
    full = cache_dir() / "assets" / assets()["cifar10-full"].file
    if not full.is_file(): pytest.skip("cifar10-full is not in the cache")
    records = np.memmap(full, np.uint8, mode="r").reshape(60_000, 3073)
    pixels, labels, parts, names = D._bundled_cifar()
    positions = [int(name.split("/")[1]) for name in names]
    assert (records[positions, 0] == labels).all() and (records[positions, 1:] == pixels.flatten(1).numpy()).all()
    assert all((p < 50_000) == (part == "train") for p, part in zip(positions, parts, strict=True))


def test_full_cifar_file_is_read_as_records(cache):
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (60_000, 3073), np.uint8)
    records[:, 0] %= 10
    path = cache.parent / "records.bin"
    records.tofile(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(D, "fetch", lambda name: path)
        pixels, labels, parts, _ = D._full_cifar()
    assert labels == records[:, 0].tolist() and Counter(parts) == {"train": 50_000, "test": 10_000}
    assert (pixels[123].numpy() == records[123, 1:].reshape(3, 32, 32)).all()


def test_same_seed_same_split_other_seed_other_split():
    a, b, c = (D.load_task("cifar10", seed=s).valid.names for s in (1, 1, 2))
    assert a == b and a != c


# Splits

PARTS = ["train", "valid", "test"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(2, 40), min_size=1, max_size=6), st.floats(0.01, 0.99), st.integers(0, 2**31))
def test_cut_is_disjoint_complete_stratified_and_seeded(counts, fraction, seed):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    rest, cut = D._cut(torch.arange(len(labels)), labels, fraction, seed)
    assert sorted([*rest.tolist(), *cut.tolist()]) == list(range(len(labels)))
    for label, n in enumerate(counts):
        got = int((labels[cut] == label).sum())
        assert 1 <= got <= n - 1 and abs(got - n * fraction) <= 1
    assert all(torch.equal(x, y) for x, y in zip((rest, cut), D._cut(torch.arange(len(labels)), labels, fraction, seed),
                                                 strict=True))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2), st.sampled_from(PARTS)), max_size=40))
def test_copies_against_a_slow_oracle(items):
    """No picture in two parts, none twice in train, none with two labels in train; everything else stays."""
    pixels = torch.tensor([p for p, _, _ in items], dtype=torch.uint8).view(-1, 1, 1, 1)
    labels, parts = [y for _, y, _ in items], [part for _, _, part in items]
    copies, clashes = D._copies(pixels, list(range(len(items))), labels, parts)
    kept = [i for i in range(len(items)) if i not in copies.keys() | D._clashing(clashes, parts)]
    for p in {p for p, _, _ in items}:
        all_of = [i for i in range(len(items)) if items[i][0] == p]
        kept_of = [i for i in kept if i in all_of]
        highest = min((parts[i] for i in all_of), key=["test", "valid", "train"].index)
        if highest != "train": assert kept_of == [i for i in all_of if parts[i] == highest]
        else: assert len(kept_of) == (len({labels[i] for i in all_of}) == 1)


def test_split_subset_and_per_class():
    split = D.load_task("cifar10").train
    few = split.per_class(3, seed=1)
    assert few.counts() == [3] * 10
    assert few.names == split.per_class(3, seed=1).names != split.per_class(3, seed=2).names
    assert torch.equal(split.subset([5, 2]).inputs, split.inputs[[5, 2]])
    assert D.Split(["a", "b", "c"], torch.tensor([0, 1, 0]), ["x", "y"]).subset([2, 0]).inputs == ["c", "a"]
    with pytest.raises(InputError, match="451 examples a class"): split.per_class(451)
    assert repr(split) == "Split(4500 images of 3 x 32 x 32, 10 classes)"


# Pictures of all kinds


def test_square_images_equal_plain_pillow_and_others_a_centre_crop(tmp_path):
    image = picture(1, (64, 64))
    image.save(tmp_path / "a.png")
    plain = np.asarray(image.resize((24, 24), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert (decode(tmp_path / "a.png", 24) == plain).all()
    wide = picture(2, (120, 60))
    wide.save(tmp_path / "b.png")
    scaled = F.center_crop(F.resize(F.pil_to_tensor(wide), [30], antialias=True), [30, 30]).numpy().astype(int)
    assert np.abs(decode(tmp_path / "b.png", 30) - scaled)[:, :, 2:-2].max() <= 2  # the oracle sees past the cut


@pytest.mark.parametrize("name, make, tolerance", [
    ("a.jpg", lambda im, p: im.convert("CMYK").save(p, quality=98), 3),
    ("a.png", lambda im, p: im.convert("RGBA").save(p), 0),
    ("a.webp", lambda im, p: im.save(p, lossless=True), 0),
    ("a.bmp", lambda im, p: im.save(p), 0),
    ("a.tiff", lambda im, p: im.save(p), 0),
    ("a.ppm", lambda im, p: im.save(p), 0),
    ("A.PNG", lambda im, p: im.save(p), 0),
    ("a.gif", lambda im, p: im.save(p, save_all=True, append_images=[Image.new("RGB", im.size, "red")]), 12),
    ("b.jpg", lambda im, p: im.save(p, "MPO", save_all=True, append_images=[im], quality=98), 3),
])
def test_formats_and_modes(tmp_path, name, make, tolerance):
    image = picture(3)
    make(image, tmp_path / name)
    assert np.abs(decode(tmp_path / name) - np.asarray(image).transpose(2, 0, 1).astype(int)).mean() <= tolerance


@pytest.mark.parametrize("mode", ["L", "LA", "1", "P"])
def test_few_channels(tmp_path, mode):
    image = picture(4).convert(mode)
    image.save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png") == np.asarray(image.convert("RGB")).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix):
    values = (np.arange(1600).reshape(40, 40) * 40).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / f"a.{suffix}")
    assert (decode(tmp_path / f"a.{suffix}") == np.rint(values / 257)).all()


@pytest.mark.parametrize("values, want", [(0.5, 128), (200.0, 200)])
def test_float_images(tmp_path, values, want):
    Image.fromarray(np.full((40, 40), values, np.float32)).save(tmp_path / "a.tiff")
    assert (decode(tmp_path / "a.tiff") == want).all()


def test_float_images_of_no_known_range_are_bad(tmp_path):
    Image.fromarray(np.full((40, 40), -3, np.float32)).save(tmp_path / "a.tiff")
    assert "outside" in D._decode(tmp_path / "a.tiff", 40)


def test_alpha_and_transparent_palette_become_white(tmp_path):
    Image.new("RGBA", (40, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    Image.new("RGBA", (40, 40), (0, 0, 0, 128)).save(tmp_path / "half.png")
    Image.new("LA", (40, 40), (0, 0)).save(tmp_path / "la.png")
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.save(tmp_path / "palette.png", transparency=1)
    palette.save(tmp_path / "palette.gif", transparency=1)
    for name in ("clear.png", "la.png", "palette.png", "palette.gif"):
        assert (decode(tmp_path / name) == 255).all(), name
    assert np.abs(decode(tmp_path / "half.png") - 127).max() <= 1


@pytest.mark.parametrize("tag", range(1, 9))
def test_exif_rotation(tmp_path, tag):
    exif = Image.Exif()
    exif[0x0112] = tag
    image = picture(5, (60, 40))
    image.save(tmp_path / "a.png", exif=exif)
    upright = {1: [], 2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
               4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_270],
               7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_90]}[tag]
    for step in upright: image = image.transpose(step)
    image.save(tmp_path / "b.png")
    assert (decode(tmp_path / "a.png") == decode(tmp_path / "b.png")).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (3, 2)])
def test_odd_sizes(tmp_path, size):
    Image.new("RGB", size, (10, 20, 30)).save(tmp_path / "a.png")
    assert (decode(tmp_path / "a.png").reshape(3, -1).T == [10, 20, 30]).all()


def test_a_picture_that_claims_too_many_pixels_is_bad(tmp_path):
    def chunk(kind, data=b""):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)
    assert "exceeds" in D._decode(tmp_path / "bomb.png", 32) or "too many" in D._decode(tmp_path / "bomb.png", 32)
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "10000 x 9000 pixels are too many" in D._decode(tmp_path / "large.png", 32)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff\xd8\xff", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
def test_not_an_image(tmp_path, data):
    (tmp_path / "a.jpg").write_bytes(data)
    assert isinstance(D._decode(tmp_path / "a.jpg", 32), str)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(["PNG", "JPEG", "GIF", "WEBP", "TIFF"]), st.integers(0, 2**31), st.integers(1, 20))
def test_damaged_files_give_pixels_or_a_reason_never_an_exception(tmp_path_factory, kind, seed, damage):
    path = tmp_path_factory.mktemp("damaged") / "a"
    picture(6).save(path, kind)
    rng, content = np.random.default_rng(seed), bytearray(path.read_bytes())
    for at in rng.integers(0, len(content), damage): content[at] = rng.integers(256)
    path.write_bytes(content[: rng.integers(len(content) + 1)])
    pixels = D._decode(path, 16)
    assert isinstance(pixels, str) and "\n" not in pixels or pixels.shape == (3, 16, 16)


def test_load_images_names_bad_files_and_keeps_positions(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for i, path in enumerate(paths): picture(i).save(path)
    for i in (1, 4): paths[i].write_bytes(paths[i].read_bytes()[:60])
    with pytest.raises(InputError) as error: D.load_images(paths, 16)
    assert all(word in one_line(error) for word in ("2 of 6", "1.png", "4.png", "--skip-bad"))
    images, kept = D.load_images(paths, 16, skip_bad=True)
    assert kept == [0, 2, 3, 5] and images.shape == (4, 3, 16, 16) and images.dtype == torch.uint8
    assert (images[1].numpy() == decode(paths[2], 16)).all()
    with pytest.raises(InputError, match="none of the 1"): D.load_images(paths[1:2], 16, skip_bad=True)
    with pytest.raises(InputError, match="missing.png"): D.load_images([tmp_path / "missing.png", paths[0]], 16)
    with pytest.raises(InputError, match="size is 0"): D.load_images(paths, 0)
    with pytest.raises(InputError, match="no image files"): D.load_images([], 16)


# Folders


def test_folder_of_classes(tmp_path, cache):
    task = D.load_task(folder(tmp_path / "pets", {"cat": 50, "dog": 30}), size=16)
    assert [s.counts() for s in (task.test, task.valid, task.train)] == [[10, 6], [4, 2], [36, 22]]
    assert task.name == "pets" and task.classes == ["cat", "dog"] and task.notes == []
    assert len(task.source["sha256"]) == 64 and task.source["source"].startswith("folder ")
    names = task.train.names + task.valid.names + task.test.names
    assert len(set(names)) == 80
    for split in (task.train, task.valid, task.test):
        for image, label, name in zip(split.inputs, split.labels, split.names, strict=True):
            assert (image.numpy() == decode(tmp_path / "pets" / name, 16)).all()
            assert name.startswith(task.classes[label])


@pytest.mark.parametrize("valid", ["valid", "val", "validation"])
def test_folder_with_splits(tmp_path, cache, valid):
    counts = {"train/a": 6, "train/b": 4, f"{valid}/a": 2, f"{valid}/b": 2, "test/a": 3, "test/b": 1}
    task = D.load_task(folder(tmp_path / "x", counts), size=8)
    assert [s.counts() for s in (task.train, task.valid, task.test)] == [[6, 4], [2, 2], [3, 1]]
    assert all(name.startswith("test/") for name in task.test.names)


def test_folder_with_train_and_test_cuts_valid_only(tmp_path, cache):
    counts = {"train/a": 20, "train/b": 10, "test/a": 1, "test/b": 1}
    task = D.load_task(folder(tmp_path / "x", counts), size=8)
    assert [s.counts() for s in (task.train, task.valid, task.test)] == [[18, 9], [2, 1], [1, 1]]


def test_copies_are_removed_before_the_cut_and_told(tmp_path, cache, capsys):
    root = folder(tmp_path / "x", {"a": 20, "b": 20})
    for i in range(4): Image.open(root / "a" / f"{i:03d}.png").save(root / "a" / f"copy{i}.bmp")  # another file
    shutil.copy(root / "a" / "007.png", root / "b" / "wrong.png")
    task = D.load_task(root, size=40)
    images = torch.cat([task.train.inputs, task.valid.inputs, task.test.inputs])
    assert len(images) == len(images.flatten(1).unique(dim=0)) == 39
    assert task.notes[0].startswith("4 exact duplicates removed")
    assert "1 picture with two labels" in task.notes[1] and "b/wrong.png" in task.notes[1]
    assert all(f"x: {note}" in capsys.readouterr().err for note in task.notes[:1])


def test_test_wins_over_valid_over_train(tmp_path, cache):
    root = folder(tmp_path / "x", {f"{p}/{c}": 4 for p in ("train", "valid", "test") for c in "ab"})
    shutil.copy(root / "test/a/000.png", root / "train/a/t.png")
    shutil.copy(root / "test/a/001.png", root / "valid/a/t.png")
    shutil.copy(root / "valid/b/000.png", root / "train/b/v.png")
    shutil.copy(root / "test/b/000.png", root / "test/b/again.png")  # a given test part is left as it is
    task = D.load_task(root, size=40)
    assert [s.counts() for s in (task.train, task.valid, task.test)] == [[4, 4], [4, 4], [4, 5]]
    assert task.notes[0].startswith("3 exact duplicates removed")


def test_bad_files_stop_or_are_counted(tmp_path, cache):
    root = folder(tmp_path / "x", {"a": 5, "b": 5})
    (root / "a" / "000.png").write_bytes(b"nothing")
    (root / "notes.txt").write_text("not an image, not looked at")
    for _ in range(2):
        with pytest.raises(InputError, match=r"1 of 10 images cannot be read: a/000.png \(not an image\)"):
            D.load_task(root, size=8)
    task = D.load_task(root, size=8, skip_bad=True)
    assert "1 unreadable file skipped: a/000.png" in task.notes[0]
    assert len(task.train) + len(task.valid) + len(task.test) == 9
    with pytest.raises(InputError, match="1 of 10"): D.load_task(root, size=8)  # a cached skip is not a pardon


def _raises(root, text, **options):
    with pytest.raises(InputError) as error: D.load_task(root, size=8, **options)
    assert text in one_line(error), error.value


def test_folders_that_cannot_be_a_task(tmp_path, cache):
    (tmp_path / "empty").mkdir()
    _raises(tmp_path / "empty", "holds no images")
    _raises(folder(tmp_path / "loose", {"": 3}), "3 images but no folder for each class")
    _raises(folder(tmp_path / "one", {"cat": 5}), "one class, 'cat'")
    _raises(folder(tmp_path / "few", {"cat": 5, "dog": 2}), "class 'dog' has 2 of the 3 images needed")
    (folder(tmp_path / "none", {"cat": 5, "dog": 5}) / "emu").mkdir()
    _raises(tmp_path / "none", "class 'emu'")
    extra = folder(tmp_path / "extra", {"train/a": 4, "train/b": 4, "test/c": 1})
    _raises(extra, "class 'c' is in test but not in train")
    _raises(folder(tmp_path / "two", {"train/a": 4, "val/a": 4, "valid/a": 1}), "has two valid folders")
    _raises(tmp_path / "missing", "no task or folder")
    _raises(tmp_path / "few" / "cat" / "000.png", "is a file")
    _raises("cifar-10", "did you mean cifar10")
    _raises(tmp_path / "few", "valid is 1.5", valid=1.5)
    _raises(tmp_path / "few", "test is 0", test=0)
    assert not (cache / "images").exists()  # all of these were met before anything was decoded


def test_cache_is_keyed_by_content_and_used(tmp_path, cache, monkeypatch):
    root = folder(tmp_path / "x", {"a": 5, "b": 5})
    first = D.load_task(root, size=8)
    moved = shutil.copytree(root, tmp_path / "y")
    with monkeypatch.context() as patch:
        patch.setattr(D, "_decode", lambda *a: pytest.fail("decoded twice"))
        assert torch.equal(D.load_task(moved, size=8).train.inputs, first.train.inputs)
    assert first.source["sha256"] == D.load_task(moved, size=8).source["sha256"]
    assert first.source["sha256"] != D.load_task(root, size=9).source["sha256"]
    picture(99).save(root / "a" / "000.png")
    assert first.source["sha256"] != D.load_task(root, size=8).source["sha256"]


def test_a_full_disk_leaves_nothing(tmp_path, cache, monkeypatch):
    root = folder(tmp_path / "x", {"a": 5, "b": 5})

    def full(*args): raise OSError(28, "No space left on device")

    monkeypatch.setattr(D, "_npy_header", full)
    with pytest.raises(OSError, match="No space"): D.load_task(root, size=8)
    assert list((cache / "images").iterdir()) == []


def _load(root, cache, queue):
    os.environ["FTCOURSE_CACHE"] = cache
    queue.put(D.load_task(root, size=8).train.inputs.numpy().tobytes())


def test_two_processes_decode_at_once(tmp_path):
    root, context = folder(tmp_path / "x", {"a": 20, "b": 20}), multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=_load, args=(root, str(tmp_path / "cache"), queue)) for _ in range(2)]
    for worker in workers: worker.start()
    a, b = (queue.get(timeout=60) for _ in workers)
    for worker in workers: worker.join(60)
    assert a == b and len(list((tmp_path / "cache" / "images").iterdir())) == 1


def test_large_splits_go_to_a_mapped_file(tmp_path, cache, monkeypatch):
    root = folder(tmp_path / "x", {"a": 20, "b": 20})
    small = D.load_task(root, size=8)
    monkeypatch.setattr(D, "_IN_MEMORY", 100)
    large = D.load_task(root, size=8)
    assert torch.equal(small.train.inputs, large.train.inputs)
    assert len(list((cache / "images").iterdir())) == 1  # the mapped file is gone from the folder at once


# Augmentation, against slow oracles


def _draws(n, *, flip, crop, seed):
    """The draws of `_crop_and_flip`, in its order: row shifts, column shifts, mirrored or not."""
    generator = torch.Generator().manual_seed(seed)
    shift = lambda: (torch.rand(n, generator=generator) * (2 * crop + 1)).long() - crop
    rows, columns = shift(), shift()
    return rows, columns, torch.rand(n, generator=generator) < 0.5 if flip else torch.zeros(n, dtype=torch.bool)


@pytest.mark.parametrize("flip, crop", [(True, 0), (False, 4), (True, 7)])
@pytest.mark.parametrize("shape", [(16, 16), (8, 21)])
def test_crop_and_flip_equal_pad_crop_flip_one_by_one(flip, crop, shape):
    images = torch.randint(0, 256, (30, 3, *shape), dtype=torch.uint8)
    got = D.augment(images, flip=flip, crop=crop, generator=torch.Generator().manual_seed(3))
    for out, image, row, column, mirror in zip(got, images, *_draws(30, flip=flip, crop=crop, seed=3), strict=True):
        padded = F.pad(image, [crop] * 4, padding_mode="reflect")
        want = F.crop(padded, crop + row, crop + column, *shape)
        assert torch.equal(out, want.flip(-1) if mirror else want)


def test_colour_equals_torchvision_one_by_one():
    images = torch.randint(0, 256, (20, 3, 12, 12), dtype=torch.uint8)
    got = D.augment(images, colour=0.4, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    factors = [1 + 0.4 * (2 * torch.rand(20, generator=generator) - 1) for _ in range(3)]
    for out, image, b, c, s in zip(got, images, *factors, strict=True):
        want = F.adjust_brightness(image.float() / 255, b.item())
        want = F.adjust_saturation(F.adjust_contrast(want, c.item()), s.item())
        assert (out.float() - want * 255).abs().max() <= 0.51


def test_each_image_draws_for_itself():
    one = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8).expand(3000, -1, -1, -1)
    generator = torch.Generator().manual_seed(0)
    mirrored = (D.augment(one, flip=True, generator=generator) != one).flatten(1).any(1).float().mean()
    assert abs(mirrored - 0.5) < 0.04
    places = D.augment(one, crop=2, generator=generator).flatten(1).unique(dim=0, return_counts=True)[1]
    assert len(places) == 25 and (places - 120).abs().max() < 60  # 5 x 5 shifts, 120 each
    for kind in (dict(colour=0.3), dict(randaugment=2)):
        assert len(D.augment(one[:20], **kind, generator=generator).flatten(1).unique(dim=0)) > 10


@pytest.mark.parametrize("kind", [dict(flip=True), dict(crop=3), dict(colour=0.3), dict(randaugment=2)])
def test_augment_is_seeded_and_leaves_the_global_state_and_the_input_alone(kind):
    images = torch.randint(0, 256, (8, 3, 16, 16), dtype=torch.uint8)
    before, state = images.clone(), torch.get_rng_state()
    a, b, c = (D.augment(images, **kind, generator=torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(images, before) and torch.equal(torch.get_rng_state(), state)
    assert a.dtype == torch.uint8 and a.shape == images.shape


@pytest.mark.parametrize("options", [dict(crop=16), dict(crop=-1), dict(colour=1.5), dict(randaugment=-1)])
def test_augment_refuses(options):
    with pytest.raises(InputError, match=next(iter(options))):
        D.augment(torch.zeros(2, 3, 16, 16, dtype=torch.uint8), **options)


def test_augment_and_mix_refuse_wrong_types():
    with pytest.raises(InputError, match="uint8"): D.augment(torch.zeros(2, 3, 4, 4))
    with pytest.raises(InputError, match="floats"): D.mix(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]), mixup=1)
    with pytest.raises(InputError, match="mixup is -1"): D.mix(torch.zeros(2, 3, 4, 4), torch.eye(2), mixup=-1)


@pytest.mark.parametrize("mixup, cutmix", [(0.4, 0), (0, 1.0), (0.4, 1.0)])
def test_mix_against_its_own_targets(mixup, cutmix):
    """Image i is filled with 2**i, so each pixel tells whose it is; the target must tell the same shares."""
    n = 12
    images = (2.0 ** torch.arange(n)).view(n, 1, 1, 1).expand(n, 3, 16, 10).contiguous()
    mixed, soft = D.mix(images, torch.eye(n), mixup=mixup, cutmix=cutmix, generator=torch.Generator().manual_seed(5))
    assert torch.allclose(soft.sum(1), torch.ones(n))
    assert torch.allclose(mixed.mean(dim=(1, 2, 3)), soft @ (2.0 ** torch.arange(n)), rtol=1e-4)
    assert (soft > 0).sum(1).max() <= 2
    if cutmix and not mixup: assert torch.isin(mixed, images[:, 0, 0, 0]).all()  # pasted, never blended
    if mixup and not cutmix: assert torch.equal(mixed, mixed[:, :1, :1, :1].expand_as(mixed))


def test_cutmix_pastes_one_rectangle_of_the_partner():
    images = torch.arange(50.0).view(50, 1, 1, 1).expand(50, 3, 20, 20)
    mixed, soft = D.mix(images, torch.eye(50), cutmix=1.0, generator=torch.Generator().manual_seed(1))
    for i in range(50):
        foreign = mixed[i, 0] != i
        rows, columns = foreign.any(1).nonzero().flatten(), foreign.any(0).nonzero().flatten()
        assert foreign.sum() == len(rows) * len(columns)
        if len(rows): assert rows[-1] - rows[0] + 1 == len(rows) and columns[-1] - columns[0] + 1 == len(columns)
        assert soft[i, i] == pytest.approx(1 - foreign.float().mean().item(), abs=1e-6)


def test_mix_shares_follow_beta():
    n = 20_000
    own = D._own_share(torch.zeros(n, 1, 1, 1), 0.4, 0.0, torch.Generator().manual_seed(0)).flatten()
    assert abs(own.mean() - 0.5) < 0.01 and abs(own.var() - 1 / (4 * (2 * 0.4 + 1))) < 0.01  # variance of Beta(a, a)
    both = D._own_share(torch.zeros(4000, 1, 8, 8), 1.0, 1.0, torch.Generator().manual_seed(0))
    blended = (both.flatten(1).min(1).values > 0) & (both.flatten(1).max(1).values < 1)
    assert abs(blended.float().mean() - 0.5) < 0.05


def test_mix_is_seeded_and_off_by_default():
    images, targets = torch.rand(8, 3, 8, 8), torch.eye(8)
    assert D.mix(images, targets)[0] is images
    state = torch.get_rng_state()
    a, b = (D.mix(images, targets, mixup=1, cutmix=1, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and torch.equal(torch.get_rng_state(), state)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_the_same_seed_means_the_same_on_a_gpu():
    images = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    state = torch.cuda.get_rng_state()
    for kind in (dict(flip=True, crop=4), dict(colour=0.3), dict(randaugment=2)):
        a, b = (D.augment(x, **kind, generator=torch.Generator().manual_seed(1)) for x in (images, images.cuda()))
        assert b.is_cuda and (a.float() - b.cpu().float()).abs().max() <= (0 if "colour" not in kind else 1)
    a, b = (D.mix(x.float(), torch.eye(16).to(x.device), mixup=1, cutmix=1, generator=torch.Generator().manual_seed(1))
            for x in (images, images.cuda()))
    assert torch.allclose(a[0], b[0].cpu(), atol=1e-3) and torch.equal(torch.cuda.get_rng_state(), state)
