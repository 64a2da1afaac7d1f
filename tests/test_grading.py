"""Marks that can be trusted: honest notebooks get theirs, hostile ones get nothing and harm nothing."""

import csv
import importlib.util
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
from conftest import cage_or_skip
from hostile import HELD, NOTEBOOKS, STUBS

from ftcourse import grading
from ftcourse.assets import InputError
from ftcourse.cage import Cage, CageError, Limits
from ftcourse.cli import main
from ftcourse.exercises import catalogue, edition, exercises_in, notebook, read_cells, sources
from ftcourse.grading import Submission, grade, grade_one, release, submissions

STRICT = Limits(cell_seconds=1, cells_seconds=3, answer_seconds=2)
WAYS = ["namespaces", *["bubblewrap"] * bool(shutil.which("bwrap"))]
SOURCES = {path.stem: read_cells(path.read_bytes()) for path in sources()}


def handed_in(cells, name="one.ipynb"):
    return Submission(name, lambda: notebook([("code", cell) for cell in cells]).encode())


def solved(stem="03_freezing"):
    return [text for kind, text in edition(SOURCES[stem], "solutions") if kind == "code"]


@pytest.fixture(scope="module", params=WAYS)
def strict(request):
    """A cage with little time, for those who would take all of it."""
    with cage_or_skip(STRICT, how=request.param) as cage:
        yield cage


@pytest.fixture(scope="module", params=WAYS)
def cage(request):
    with cage_or_skip(how=request.param) as cage:
        yield cage


@pytest.fixture(scope="module")
def listener():
    """Somebody who would hear it if a notebook got through to the network."""
    heard, server = [], socket.create_server(("127.0.0.1", 8765))

    def listen():
        while True:
            try: heard.append(server.accept()[0].recv(5))
            except OSError: return

    threading.Thread(target=listen, daemon=True).start()
    yield heard
    server.close()


@pytest.fixture
def held():
    folder = Path(HELD)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "secret").write_text("the secret")
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_hostile(name, strict, held, listener, monkeypatch):
    monkeypatch.setenv("FTCOURSE_SECRET", "the secret")
    before = {path: path.stat().st_mtime_ns for path in Path(grading.__file__).parent.glob("*.py")}
    began = time.monotonic()
    cells = ["import torch\nfrom torch import nn", STUBS, "#| exercise freezing.1\n" + NOTEBOOKS[name]]
    graded = grade_one(handed_in(cells), strict, "seed")
    assert len(graded.marks) == 8 and graded.reached == 0, [m for m in graded.marks if m.reached]
    assert time.monotonic() - began < 120
    assert sorted(path.name for path in held.iterdir()) == ["secret"] and listener == []
    assert {path: path.stat().st_mtime_ns for path in Path(grading.__file__).parent.glob("*.py")} == before
    assert not any(Path(place, "mine").exists() for place in ("/tmp", "/usr", "/etc", "/var/tmp", "/root", "/"))
    told = json.dumps([vars(mark) for mark in graded.marks])
    assert "the secret" not in told and '"out"' not in told
    some = [cell for cell in solved() if "import" in cell or "def moved(" in cell or "def rates(" in cell]
    honest = grade_one(handed_in(some), strict, "seed")                 # the next one gets its marks
    assert honest.reached == 4 and not honest.broken, honest


def test_there_are_enough_hostile_ones():
    assert len(NOTEBOOKS) >= 25


def test_the_librarys_answer_is_named(cage):
    marks = grade_one(handed_in(["#| exercise freezing.2", STUBS, NOTEBOOKS["library's own answer"]]), cage, "s").marks
    assert "`param_groups` of the library is called" in marks[1].message and marks[1].reached == 0


@pytest.mark.parametrize("stem", SOURCES)
def test_solutions_get_full_marks_and_stubs_none(stem, cage):
    graded = grade_one(handed_in(solved(stem)), cage, "a seed")
    assert graded.reached == graded.points == sum(e.points for e in exercises_in(SOURCES[stem]).values()), graded
    assert not graded.broken
    empty = [text for kind, text in edition(SOURCES[stem], "learner") if kind == "code"]
    assert grade_one(handed_in(empty), cage, "a seed").reached == 0


def test_a_cell_that_breaks_costs_what_depends_on_it(cage):
    cells = [cell.replace("def moved(", "raise RuntimeError('oh')\ndef moved(") for cell in solved()]
    graded = grade_one(handed_in(cells), cage, "s")
    assert {mark.id for mark in graded.marks if not mark.reached} == {"freezing.5"}
    assert "there is no function `moved`" in graded.marks[4].message and "RuntimeError: oh" in graded.broken[0]


def test_jupyters_own_commands_are_passed_over(cage):
    cells = ["%matplotlib inline\n!ls\nimport torch", "%%bash\nls", *solved(), "display(1)"]
    graded = grade_one(handed_in(cells), cage, "s")
    assert graded.reached == graded.points and not graded.broken


def test_an_exercise_that_was_deleted_is_one_without_points(cage):
    cells = [cell for cell in solved() if "freezing.3" not in cell]
    graded = grade_one(handed_in(cells), cage, "s")
    assert graded.points == 21 and graded.reached == 19


def test_inputs_differ_from_learner_to_learner_and_follow_from_the_seed(monkeypatch, cage):
    seen = {}
    real = grading._mark
    monkeypatch.setattr(grading, "_mark", lambda e, key, inputs, came: seen.setdefault(e.id, []).append(repr(inputs)) or real(e, key, inputs, came))
    for seed, name in (("1", "a.ipynb"), ("1", "b.ipynb"), ("2", "a.ipynb"), ("1", "a.ipynb")):
        grade_one(handed_in(["#| exercise freezing.2"], name), cage, seed)
    for drawn in seen.values():
        assert drawn[0] == drawn[3] and len({drawn[0], drawn[1], drawn[2]}) == 3


# ---------------------------------------------------------------------------------------------- files

@pytest.fixture
def klass(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "ann.ipynb").write_text(notebook([("code", cell) for cell in solved()]))
    (folder / "sub" / "ann.ipynb").write_text(notebook([("code", "#| exercise freezing.1")]))
    (folder / "none.ipynb").write_text(json.dumps({"cells": []}))
    (folder / "broken.ipynb").write_bytes(b"\x80\x04\x95cposix\nsystem\n")
    (folder / "link.ipynb").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    (folder / "=cmd.ipynb").write_text("[" * 100_000)
    os.mkfifo(folder / "pipe.ipynb")
    (folder / "folder.ipynb").mkdir()
    with open(folder / "large.ipynb", "wb") as file: file.truncate(100 << 20)
    return folder


def test_a_folder_is_graded_and_each_problem_stays_its_own(some_cage, klass, tmp_path, capsys):
    assert main(["grade", str(klass), "--out", str(tmp_path / "marks"), "--seed", "x"]) == 0
    rows = {row["notebook"]: row for row in csv.DictReader(open(tmp_path / "marks" / "marks.csv"))}
    assert {name: row["reached"] for name, row in rows.items()} == {
        "ann.ipynb": "21", "sub/ann.ipynb": "0", "none.ipynb": "0", "broken.ipynb": "0", "link.ipynb": "0", "'=cmd.ipynb": "0",
        "pipe.ipynb": "0", "large.ipynb": "0"}
    assert "no exercise" in rows["none.ipynb"]["note"] and "symbolic link" in rows["link.ipynb"]["note"]
    assert "not an ordinary file" in rows["pipe.ipynb"]["note"] and "20 MB" in rows["large.ipynb"]["note"]
    record = json.loads((tmp_path / "marks" / "marks.json").read_text())
    assert record["seed"] == "x" and record["warning"] == "" and len(record["notebooks"]) == 8
    for one in record["notebooks"]:
        assert (tmp_path / "marks" / "feedback" / one["feedback"]).is_file()
    assert "21 of  21" in capsys.readouterr().out


def test_feedback_escapes_and_keeps_the_expected_to_itself(some_cage, tmp_path):
    (tmp_path / "<b>.ipynb").write_text(notebook([("code", "#| exercise freezing.1"), ("code", STUBS), ("code", NOTEBOOKS["html in names and errors"])]))
    grades = grade([tmp_path / "<b>.ipynb"], out=tmp_path / "marks", limits=STRICT)
    page = next((tmp_path / "marks" / "feedback").iterdir()).read_text()
    assert "<script" not in page and "&lt;script&gt;" in page and "<img" not in page and "<h1>&lt;b&gt;" in page
    assert "ValueError" in grades.graded[0].marks[0].message


def test_zip(tmp_path):
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good/ann.ipynb", notebook([("code", "#| exercise freezing.1")]))
        for name in ("../up.ipynb", "/root.ipynb", "a/../../b.ipynb", "c:\\x.ipynb", "..\\y.ipynb"):
            archive.writestr(name, "{}")
        archive.writestr("bomb.ipynb", b"0" * (200 << 20))
        link = zipfile.ZipInfo("link.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    found = {s.name: s for s in submissions([path])}
    assert len(found) == 8 and b"freezing.1" in found["good/ann.ipynb"].read()
    for name, part in {"../up.ipynb": "leads out", "/root.ipynb": "leads out", "a/../../b.ipynb": "leads out", "bomb.ipynb": "20 MB", "link.ipynb": "symbolic link"}.items():
        with pytest.raises(InputError, match=part): found[name].read()
    assert {p.name for p in tmp_path.iterdir()} == {"all.zip"}
    path.write_bytes(b"PK\x03\x04nothing")
    with pytest.raises(InputError, match="can't be read as a zip"): submissions([path])


def test_wrong_use_is_told_in_a_line(tmp_path, capsys):
    assert main(["grade", str(tmp_path / "nothing")]) == 2
    assert main(["grade", str(tmp_path)]) == 2
    (tmp_path / "a.ipynb").write_text(notebook([("code", "#| exercise freezing.1")]))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    assert main(["grade", str(tmp_path / "a.ipynb"), "--out", str(tmp_path / "full")]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 3 and "is not there" in lines[0] and "no notebooks" in lines[1] and "something else" in lines[2]


def test_without_a_cage_it_refuses_unless_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("ftcourse.cage._MAIN", "import sys; sys.exit('unshare: Operation not permitted')")
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(CageError, match="namespaces: unshare: Operation not permitted.*--unsafe"): Cage()


def test_unsafe_says_so_in_its_first_line(tmp_path, monkeypatch):
    monkeypatch.setattr(Cage, "_start", lambda self, real=Cage._start: real(self) if self.how == "none" else "refused")
    (tmp_path / "a.ipynb").write_text(notebook([("code", cell) for cell in solved()]))
    with pytest.raises(CageError, match="refused"): grade([tmp_path / "a.ipynb"])
    grades = grade([tmp_path / "a.ipynb"], out=tmp_path / "marks", unsafe=True)
    assert grades.graded[0].reached == 21 and repr(grades).startswith("GRADED WITHOUT A CAGE")
    assert "GRADED WITHOUT A CAGE" in (tmp_path / "marks" / "marks.csv").read_text().split("\n")[1]
    page = next((tmp_path / "marks" / "feedback").iterdir()).read_text()
    assert page.index("GRADED WITHOUT") < page.index("<h1>")


def test_memory_stays_flat_and_no_process_is_left(cage):
    for _ in range(3): grade_one(handed_in(solved()), cage, "s")
    before, others = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, children()
    for _ in range(10): grade_one(handed_in(solved()), cage, "s")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000              # in KiB
    assert children() == others


def children():
    """The processes that this one has begun: the cages, and what other tests keep."""
    listed = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    return listed.read_text().split() if listed.exists() else []


# ---------------------------------------------------------------------------------------------- editions

def test_release_writes_editions_and_overwrites_nothing(tmp_path):
    files = release(tmp_path / "course")
    assert len(files) == 3 * len(SOURCES)
    with pytest.raises(InputError, match="already"): release(tmp_path / "course", ("learner",))
    text = (tmp_path / "course" / "learner" / "03_freezing.ipynb").read_text()
    assert "def hold(model, names):" in text and "part.train = lambda" not in text and "@mistake" not in text
    assert "part.train = lambda" in (tmp_path / "course" / "solutions" / "03_freezing.ipynb").read_text()
    for wrong in (dict(editions=("all",)), dict(format="docx")):
        with pytest.raises(InputError): release(tmp_path / "more", **wrong)


def test_nbgrader_marks(tmp_path):
    for path in release(tmp_path, format="nbgrader"):
        cells = [cell["metadata"]["nbgrader"] for cell in json.loads(path.read_text())["cells"] if "nbgrader" in cell["metadata"]]
        known = exercises_in(SOURCES[path.stem])
        assert sum(cell.get("points", 0) for cell in cells) == sum(e.points for e in known.values())
        assert len({cell["grade_id"] for cell in cells}) == len(cells) == 2 * len(known)


def test_catalogue_is_in_the_courses_order():
    lessons = list(dict.fromkeys(id.partition(".")[0] for id in catalogue()))
    assert lessons == [next(iter(exercises_in(cells))).partition(".")[0] for cells in SOURCES.values()]


def nbgrader(*args, cwd):
    command = [sys.executable, "-m", "nbgrader", *map(str, args)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


def test_nbgrader_itself_takes_them(tmp_path):
    """With nbgrader installed: it validates our notebook, makes the learner's from it, and fails that one."""
    if not importlib.util.find_spec("nbgrader"): pytest.skip("nbgrader is not installed")     # not imported here: it patches distutils
    release(tmp_path, format="nbgrader")
    done = nbgrader("validate", "source/03_freezing/03_freezing.ipynb", cwd=tmp_path)
    assert "Success" in done.stdout, done.stdout + done.stderr
    done = nbgrader("generate_assignment", "03_freezing", cwd=tmp_path)
    made = tmp_path / "release" / "03_freezing" / "03_freezing.ipynb"
    assert made.exists(), done.stderr
    assert "part.train = lambda" not in made.read_text() and "def hold(model, names):" in made.read_text()
    done = nbgrader("validate", made, cwd=tmp_path)
    assert "failed on 8 cell" in done.stdout.lower(), done.stdout + done.stderr
