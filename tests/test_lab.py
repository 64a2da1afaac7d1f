"""The course in a learner's folder: what is theirs stays, what is newer comes, the page is true, the server ends."""

import functools
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ftcourse import exercises, lab
from ftcourse.assets import InputError, assets
from ftcourse.cli import main
from ftcourse.exercises import check, find_exercise, find_key, progress, sources, write_learner_edition
from ftcourse.lab import differences, fingerprint, home, lessons, place, reached, start, told
from ftcourse.training import environment

ROOT = Path(__file__).parents[1]
A, B, TASKS = "lessons/00_a.ipynb", "lessons/01_b.ipynb", "exercises/01_b.ipynb"


def book(*texts: str, ran: int = 0, output: str = "", **metadata) -> bytes:
    """A notebook: a heading, then code cells, the first `ran` of which were run."""
    cells = [{"cell_type": "markdown", "id": "m", "metadata": {}, "source": ["# Title\n", "\n", "> Line."]}]
    for i, text in enumerate(texts):
        shown = [{"output_type": "stream", "name": "stdout", "text": [output]}] if output else []
        count = i + 1 if i < ran else None
        cells.append({"cell_type": "code", "id": f"c{i}", "metadata": {}, "execution_count": count, "outputs": shown,
                      "source": text.splitlines(keepends=True)})
    kernel = {"kernelspec": {"name": "python3", "display_name": "python3", "language": "python"}}
    return json.dumps({"cells": cells, "metadata": kernel | metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


OLD = {A: book("x = 1", "y = 2"), B: book("a = 1"), TASKS: book("b = 1")}
NEW = {A: book("x = 1", "y = 3"), B: book("a = 2"), TASKS: book("b = 2")}
NEWER = {A: book("x = 1", "y = 4"), B: book("a = 3"), TASKS: book("b = 3")}
NEWEST = {A: book("x = 1", "y = 5"), B: book("a = 4"), TASKS: book("b = 4")}


@pytest.fixture
def package(monkeypatch):
    """Sets what the package holds: `package(NEW)` is an update. Begins with OLD."""
    def holds(files): monkeypatch.setattr(lab, "course", lambda: files)
    holds(OLD)
    return holds


@pytest.fixture
def folder(package, tmp_path):
    place(tmp_path / "course")
    return tmp_path / "course"


def contents(folder: Path) -> dict[str, bytes]:
    """The notebooks of a folder, by their path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.glob("*/*.ipynb"))}


def states(placed) -> dict[str, str]: return {one.path: one.state for one in placed}


# --- what is placed ---------------------------------------------------------------------------------------------------


def test_an_empty_folder_gets_the_whole_course(tmp_path):
    (tmp_path / "course").mkdir()
    placed = place(tmp_path / "course")
    names = {f"lessons/{p.name}" for p in ROOT.glob("nbs/[0-9]*.ipynb")}
    names |= {f"exercises/{p.name}" for p in ROOT.glob("nbs/exercises/[0-9]*.ipynb")}
    assert set(contents(tmp_path / "course")) == names and states(placed) == dict.fromkeys(names, "new")
    for path, data in contents(tmp_path / "course").items():
        assert "#| solution" not in data.decode() or path.startswith("lessons/")
        assert all(cell.get("execution_count") is None for cell in json.loads(data)["cells"])
    assert told(placed) == [f"{len(names)} notebooks placed"]


def test_every_link_leads_to_a_file_that_is_placed(tmp_path):
    place(tmp_path)
    found = 0
    for file in tmp_path.glob("*/*.ipynb"):
        texts = ("".join(c["source"]) for c in json.loads(file.read_bytes())["cells"] if c["cell_type"] == "markdown")
        for link in re.findall(r"\]\(([^)#]+)\)|<img[^>]*src=.([^'\"]+)", "\n".join(texts)):
            target = link[0] or link[1]
            if not target.startswith(("https:", "data:", "attachment:")):
                found += 1
                assert (file.parent / target).is_file(), f"{file.name}: {target}"
    assert found > 10


def test_a_wheel_and_a_checkout_place_the_same(tmp_path, monkeypatch):
    here = lab.course.__wrapped__()
    shutil.copytree(ROOT / "nbs", tmp_path / "_nbs", ignore=shutil.ignore_patterns("exercises", ".*"))
    write_learner_edition(sources(), tmp_path / "_exercises")             # as hatch_build.py makes a wheel
    for module in (lab, exercises): monkeypatch.setattr(module, "package_dir", lambda: tmp_path)
    assert sources() == [] and lab.course.__wrapped__() == here
    shutil.rmtree(tmp_path / "_nbs")
    with pytest.raises(InputError, match="install ftcourse again"): lab.course.__wrapped__()


def test_a_lesson_is_the_package_s_but_for_links_and_counts(tmp_path):
    place(tmp_path)
    for name in ("00_assets", "11_exercises"):
        source = json.loads((ROOT / f"nbs/{name}.ipynb").read_bytes())["cells"]
        cells = json.loads((tmp_path / f"lessons/{name}.ipynb").read_bytes())["cells"]
        assert [cell.get("outputs") for cell in source] == [cell.get("outputs") for cell in cells]
        texts = ["".join(cell["source"]).replace("](exercises/", "](../exercises/") for cell in source]
        assert texts == ["".join(cell["source"]) for cell in cells]


def test_placing_again_changes_nothing(folder):
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob("*/*.ipynb")}
    placed = place(folder)
    assert set(states(placed).values()) == {"same"} and told(placed) == []
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.glob("*/*.ipynb")}


def test_a_copy_that_was_cut_off_goes_on(package, tmp_path, monkeypatch):
    put = lab._put
    def full(folder, path, data):
        if path == B:
            assert (folder / lab._RECORD).exists()        # what knows it for a course, even if we are killed here
            raise OSError(28, "No space left on device")
        put(folder, path, data)
    monkeypatch.setattr(lab, "_put", full)
    with pytest.raises(OSError): place(tmp_path / "course")
    monkeypatch.undo()
    monkeypatch.setattr(lab, "course", lambda: OLD)
    assert states(place(tmp_path / "course")) == {A: "same", B: "new", TASKS: "new"}
    assert not list((tmp_path / "course").rglob(".*.ipynb"))


# --- which change is whose --------------------------------------------------------------------------------------------


def test_opening_is_no_change_and_everything_else_is():
    plain = book("x = 1")
    kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    opened = book("x = 1", kernelspec=kernel, language_info={"version": "3"}, widgets={"state": {}})
    assert fingerprint(opened) == fingerprint(plain) and opened != plain
    tagged = json.loads(plain)
    tagged["cells"][1]["metadata"] = {"tags": ["mine"]}
    others = [book("x = 2"), book("x = 1", ran=1), book("x = 1", output="1"), book("x = 1", title="mine"),
              book("x = 1", kernelspec={"name": "conda"}), json.dumps(tagged).encode(),
              b"", b"{", b"[]", b'{"metadata": 1}', b"[" * 9999]
    assert len({fingerprint(data) for data in [plain, *others]}) == len(others) + 1


def test_an_untouched_notebook_is_updated(package, folder):
    opened = json.loads(OLD[B])
    opened["metadata"]["language_info"] = {"name": "python"}
    (folder / B).write_text(json.dumps(opened, indent=2))
    package(NEW)
    placed = place(folder)
    assert set(states(placed).values()) == {"updated"} and contents(folder) == NEW
    assert told(placed) == [f"brought up to date, as you had not touched it: {A}, {B}, {TASKS}"]
    assert set(states(place(folder)).values()) == {"same"}


def test_a_changed_notebook_is_kept_and_the_new_one_lies_beside(package, folder):
    mine = book("x = 1", "y = 2  # mine")
    (folder / A).write_bytes(mine)
    assert states(place(folder))[A] == "changed" and set(contents(folder)) == set(OLD)    # nothing newer: none beside
    package(NEW)
    one = place(folder)[0]
    assert (one.state, one.beside) == ("changed", "lessons/00_a.new.ipynb")
    assert contents(folder) == NEW | {A: mine, one.beside: NEW[A]}
    assert one.differs == ["cell 3, yours: y = 2  # mine | new: y = 3"]
    assert f"{A} stays as it is: you have changed it. The newer version is beside it: {one.beside}" in told([one])
    again = place(folder)
    assert again[0].beside == one.beside and told(again) == []
    assert contents(folder) == NEW | {A: mine, one.beside: NEW[A]}


def test_a_newer_one_beside_is_replaced_if_untouched_and_kept_if_not(package, folder):
    mine, beside = book("mine"), folder / "lessons/00_a.new.ipynb"
    (folder / A).write_bytes(mine)
    package(NEW), place(folder)
    package(NEWER)
    assert place(folder)[0].beside == "lessons/00_a.new.ipynb" and beside.read_bytes() == NEWER[A]
    beside.write_bytes(book("mine, too"))
    package(NEW)
    assert place(folder)[0].beside == "lessons/00_a.new-2.ipynb"
    kept = {A: mine, "lessons/00_a.new.ipynb": book("mine, too"), "lessons/00_a.new-2.ipynb": NEW[A]}
    assert kept.items() <= contents(folder).items()
    beside.unlink(), beside.symlink_to(folder / B)
    package(NEWEST)
    assert place(folder)[0].beside == "lessons/00_a.new-2.ipynb" and (folder / B).read_bytes() == NEWEST[B]


def test_a_file_beside_that_was_never_ours_is_kept(package, folder):
    (folder / A).write_bytes(book("mine"))
    (folder / "lessons/00_a.new.ipynb").write_bytes(b"letters")
    package(NEW)
    assert place(folder)[0].beside == "lessons/00_a.new-2.ipynb"
    assert (folder / "lessons/00_a.new.ipynb").read_bytes() == b"letters"


def test_who_takes_the_new_one_or_throws_it_away_is_not_asked_again(package, folder):
    beside = folder / "lessons/00_a.new.ipynb"
    (folder / A).write_bytes(book("mine"))
    package(NEW), place(folder)
    beside.unlink()
    assert place(folder)[0].beside == "" and not beside.exists()
    package(NEWER), place(folder)
    os.replace(beside, folder / A)                        # taken
    assert states(place(folder))[A] == "same"
    package(OLD)
    assert states(place(folder))[A] == "updated"


def test_taken_and_then_updated_at_once_is_untouched(package, folder):
    (folder / A).write_bytes(book("mine"))
    package(NEW), place(folder)
    os.replace(folder / "lessons/00_a.new.ipynb", folder / A)
    package(NEWER)
    assert states(place(folder))[A] == "updated" and (folder / A).read_bytes() == NEWER[A]


def test_a_run_notebook_is_kept_as_run(package, folder):
    mine = book("x = 1", "y = 2", ran=2, output="2")
    (folder / A).write_bytes(mine)
    package({A: book("x = 1", "y = 2", output="other numbers")})
    assert [(one.state, one.beside) for one in place(folder)] == [("run", "")]                # the text is the same
    package(NEW)
    placed = place(folder)
    assert (placed[0].state, placed[0].beside) == ("run", "lessons/00_a.new.ipynb")
    assert (folder / A).read_bytes() == mine and (folder / placed[0].beside).read_bytes() == NEW[A]
    assert "you have run it, and changed nothing else" in told(placed)[-2]
    assert told(placed)[-1] == "- cell 3, yours: y = 2 | new: y = 3"


def test_a_removed_notebook_comes_back_fresh(package, folder):
    (folder / A).write_bytes(book("spoiled"))
    (folder / A).unlink()
    package(NEW)
    placed = place(folder)
    assert states(placed)[A] == "again" and (folder / A).read_bytes() == NEW[A]
    assert told(placed)[0] == f"placed again, as you had removed it: {A}"


def test_what_cannot_be_read_is_kept(package, folder):
    (folder / A).write_bytes(b"\xff{")
    (folder / B).unlink(), (folder / B).mkdir()
    package(NEW)
    placed = place(folder)
    assert states(placed)[A] == "changed" and states(placed)[B] == "link"
    assert placed[0].differs == placed[1].differs == ["yours can't be read as a notebook"]
    assert (folder / A).read_bytes() == b"\xff{" and (folder / B).is_dir()


def test_who_has_the_newer_text_already_gets_no_second_one(package, folder):
    mine = book("x = 1", "y = 3", ran=2, output="3")      # copied by hand out of the new version, and run
    (folder / A).write_bytes(mine)
    package(NEW)
    assert [(one.state, one.beside) for one in place(folder)][0] == ("run", "")
    assert contents(folder) == NEW | {A: mine}


def test_differences_name_cells_and_stay_short():
    cells = [("code", f"x = {i}") for i in range(30)]
    assert differences(cells, cells) == []
    longer = [cells[0], ("markdown", "\n  Why?\nmore"), cells[1]]
    assert differences(cells[:2], longer) == ["cell 2 of the new one is not in yours: Why?"]
    assert differences([("code", ""), *cells], cells) == ["cell 1 is only in yours: (empty)"]
    lines = differences([("code", "y" * 500)] * 30, cells)
    assert len(lines) == 10 and lines[-1] == "and 21 more" and max(map(len, lines)) < 160


# --- where nothing may be written -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lessons", "exercises", ".ftcourse"])
def test_a_folder_that_is_a_link_to_elsewhere_gets_nothing(package, folder, tmp_path, name):
    outside = tmp_path / "outside"
    os.rename(folder / name, outside)
    (folder / name).symlink_to(outside)
    before = {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()}
    package(NEW)
    with pytest.raises(InputError, match=f"{name} is a link that leads out of"): place(folder)
    assert before == {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()}


def test_a_link_to_nowhere_gets_nothing(package, tmp_path):
    (tmp_path / "course").mkdir()
    place(tmp_path / "course")
    for file in (tmp_path / "course/lessons").iterdir(): file.unlink()
    (tmp_path / "course/lessons").rmdir(), (tmp_path / "course/lessons").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="leads out of"): place(tmp_path / "course")
    assert not (tmp_path / "nowhere").exists()


def test_a_notebook_that_is_a_link_is_the_person_s(package, folder, tmp_path):
    (tmp_path / "mine.ipynb").write_bytes(OLD[A])         # the very bytes that we have put there
    (folder / A).unlink(), (folder / A).symlink_to(tmp_path / "mine.ipynb")
    package(NEW)
    one = place(folder)[0]
    assert (one.state, one.beside) == ("link", "lessons/00_a.new.ipynb")
    assert (folder / A).is_symlink() and (tmp_path / "mine.ipynb").read_bytes() == OLD[A]


def test_links_within_and_a_link_to_the_course_are_fine(package, folder, tmp_path):
    os.rename(folder / "lessons", folder / "texts")
    (folder / "lessons").symlink_to("texts")
    (tmp_path / "link").symlink_to(folder)
    package(NEW)
    assert set(states(place(tmp_path / "link")).values()) == {"updated"}
    assert (folder / "texts/00_a.ipynb").read_bytes() == NEW[A]


@pytest.mark.parametrize("kind", ["file", "foreign"])
def test_no_course_goes_where_other_things_are(kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ftcourse.cli.start", lambda *_, **__: None)      # should it come so far
    place = tmp_path / "there"
    if kind == "file": place.write_text("letters")
    else: place.mkdir(), (place / "letter.txt").write_text("letters")
    before = sorted(tmp_path.rglob("*"))
    assert main(["lab", str(place), "--no-browser"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and err.startswith(f"ftcourse: {place} ")
    assert ("is a file" if kind == "file" else "holds other things") in err and sorted(tmp_path.rglob("*")) == before


DAMAGED = [b"", b"{", b"[]", b'{"files": [1]}', b'{"files": {"a": 1}}', b'{"files": {"a": {}}}', b"[" * 99999, b"\xff"]


@pytest.mark.parametrize("record", DAMAGED)
def test_with_a_damaged_record_everything_is_the_person_s(package, folder, capsys, record):
    mine = book("mine")
    (folder / A).write_bytes(mine)
    (folder / ".ftcourse/placed.json").write_bytes(record)
    package({A: NEW[A], B: NEW[B], TASKS: OLD[TASKS]})
    placed = place(folder)
    assert capsys.readouterr().err.count("\n") == 1
    assert states(placed) == {A: "changed", B: "changed", TASKS: "same"}
    beside = {"lessons/00_a.new.ipynb": NEW[A], "lessons/01_b.new.ipynb": NEW[B]}
    assert contents(folder) == OLD | {A: mine} | beside
    assert not told(place(folder)) and capsys.readouterr().err == ""      # mended


# --- the home page ----------------------------------------------------------------------------------------------------


@pytest.fixture
def course(tmp_path):
    """A folder with the real course."""
    place(tmp_path / "course")
    return tmp_path / "course"


def rows(folder: Path) -> dict[str, list[str]]:
    """The table of the home page: the path of a lesson, and its cells."""
    text = home(folder).read_text("utf-8").replace("\u00a0", " ")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| [")]
    return {re.search(r"\(([^)]+)\)", cells[0])[1]: cells for cells in lines}


def run(file: Path, *numbers: int) -> None:
    """As if these code cells had been run, counted from 1; negative ones from the end."""
    data = json.loads(file.read_bytes())
    code = [cell for cell in data["cells"] if cell["cell_type"] == "code"]
    for number in numbers: code[number - (number > 0)]["execution_count"] = 7
    file.write_text(json.dumps(data))


def test_the_page_lists_every_lesson_in_order_with_links_that_exist(course):
    table = rows(course)
    assert list(table) == sorted(path for path in contents(course) if path.startswith("lessons/"))
    for link in re.findall(r"\]\(([^)]+)\)", home(course).read_text("utf-8")): assert (course / link).is_file(), link
    assert {cells[3] for cells in table.values()} == {"not begun"}


def test_place_reached(course):
    run(course / "lessons/00_assets.ipynb", 1, 2, 5)
    run(course / "lessons/01_data.ipynb", -1)
    cells = json.loads((course / "lessons/00_assets.ipynb").read_bytes())["cells"]
    table = rows(course)
    assert table["lessons/00_assets.ipynb"][3] == f"cell 5 of {sum(c['cell_type'] == 'code' for c in cells)}"
    assert table["lessons/01_data.ipynb"][3] == "to the end"
    assert "**Next:** lesson [00 " in home(course).read_text("utf-8")
    run(course / "lessons/00_assets.ipynb", -1)
    assert "**Next:** lesson [02 " in home(course).read_text("utf-8")


def test_an_empty_cell_below_the_last_one_is_not_missing(tmp_path):
    (tmp_path / "a.ipynb").write_bytes(book("x", "y", "", " \n", ran=2))         # JupyterLab adds one
    assert reached(tmp_path / "a.ipynb") == "to the end"


BROKEN = [b"", b"{", b"[]", b'{"cells": 3}', b'{"cells": [3]}', b'{"cells": {"a": 1}}', b"[" * 99999, b"\xff\xfe",
          b'{"cells": [{"cell_type": "code"}]}', b'{"cells": [{"cell_type": "code", "source": 3}]}']


@pytest.mark.parametrize("content", BROKEN)
def test_a_notebook_that_cannot_be_read_is_one_row(course, content):
    (course / "lessons/03_freezing.ipynb").write_bytes(content)
    (course / "exercises/03_freezing.ipynb").write_bytes(content)
    place(course)
    table = rows(course)
    assert table["lessons/03_freezing.ipynb"][3] == "can't be read"
    assert table["lessons/02_models.ipynb"][3] == "not begun"


def test_solved_exercises_are_counted_where_they_are_solved(course, monkeypatch):
    monkeypatch.chdir(course / "exercises")               # where JupyterLab runs a notebook's kernel
    assert check("freezing.1", find_key("freezing.1").answer) and not check("freezing.2", lambda *_: None)
    points = find_exercise("freezing.1").points
    counts = ["[1 of 8](exercises/03_freezing.ipynb)", f"{points} of 21"]
    assert rows(course)["lessons/03_freezing.ipynb"][4:] == counts and progress().points[0] == points
    page = home(course).read_text("utf-8")
    assert f"{points} of {progress().points[1]} points." in page and f"{len(progress().rows) - 1} exercises" in page
    assert "exercise [data.1, " in page
    check("data.1", find_key("data.1").answer)
    assert "exercise [data.2, " in home(course).read_text("utf-8")


@pytest.mark.parametrize("content", ["{", "[]", '{"freezing.1": 3}', "[" * 99999])
def test_a_progress_file_that_cannot_be_read_is_none(course, content):
    (course / "exercises/.ftcourse").mkdir()
    (course / "exercises/.ftcourse/progress.json").write_text(content)
    assert rows(course)["lessons/03_freezing.ipynb"][4] == "[0 of 8](exercises/03_freezing.ipynb)"


def test_when_all_is_done_nothing_is_left(course):
    for file in (course / "lessons").iterdir(): run(file, -1)
    (course / "exercises/.ftcourse").mkdir()
    solved = {row["id"]: {"tries": 1, "solved": "2030-01-01"} for row in progress().rows}
    (course / "exercises/.ftcourse/progress.json").write_text(json.dumps(solved))
    page, points = home(course).read_text("utf-8"), progress().points[1]
    assert "**Nothing is left:**" in page and f"{points} of {points} points. Left: 0 lessons, 0 exercises." in page


def test_the_page_says_what_this_machine_has(course, tmp_path, monkeypatch):
    monkeypatch.setenv("FTCOURSE_CACHE", str(tmp_path / "cache"))
    page, has = home(course).read_text("utf-8"), environment()
    assert f"{has['cores']} cores, {has['memory_gb']} GB of memory, {has['gpu'] or 'no GPU'}." in page
    assert f"`{has['profile']}`" in page
    assert "the networks resnet18-tinyimagenet; the data cifar10, reviews." in page
    assert "Fetched when a lesson first needs it: mobilenet_v2 (14 MB), minilm (91 MB)." in page
    (tmp_path / "cache/assets").mkdir(parents=True)
    (tmp_path / "cache/assets" / assets()["minilm"].file).touch()
    page = home(course).read_text("utf-8")
    assert "the networks resnet18-tinyimagenet, minilm;" in page and "needs it: mobilenet_v2 (14 MB)." in page


def test_a_page_that_the_person_changed_is_kept(course, capsys):
    page = home(course).read_bytes()
    assert home(course).read_bytes() == page and not list(course.glob("home.mine*"))
    for name in ("home.mine.md", "home.mine-2.md"):
        (course / "home.md").write_text(name)
        assert home(course).read_bytes() == page and (course / name).read_text() == name
        assert capsys.readouterr().err == f"you have changed home.md: your page is now {name}\n"
    (course / "home.md").unlink(), (course / "home.md").symlink_to(course / "lessons/00_assets.ipynb")
    before = contents(course)
    assert home(course).read_bytes() == page and contents(course) == before and (course / "home.mine-3.md").is_symlink()


def test_the_page_links_what_lies_beside(package, folder):
    assert ".new" not in home(folder).read_text("utf-8")
    (folder / A).write_bytes(book("mine"))
    package(NEW), place(folder)
    assert "[lessons/00_a.new.ipynb](lessons/00_a.new.ipynb)" in home(folder).read_text("utf-8")


def test_a_folder_without_a_course_has_no_page(tmp_path):
    with pytest.raises(InputError, match="holds no course"): home(tmp_path)
    assert not list(tmp_path.iterdir())


def test_every_lesson_says_what_one_can_do_then_as_the_readme_has_it(tmp_path):
    known = {lesson.path.removeprefix("lessons/"): lesson for lesson in lessons(tmp_path)}
    assert [name for name, lesson in known.items() if not lesson.seconds] == []
    listed = dict(re.findall(r"^\| \[[^]]+\]\(nbs/([^)]+)\) \| (.+) \|$", (ROOT / "README.md").read_text(), re.M))
    assert len(listed) >= 8 and listed == {name: known[name].can for name in listed}


# --- the server -------------------------------------------------------------------------------------------------------


def get(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path)
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace")


def children(pid: int) -> list[str]:
    listing = Path(f"/proc/{pid}/task/{pid}/children")
    return listing.read_text().split() if listing.exists() else []


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def wait_for(what, seconds: float = 120):
    end = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


@pytest.fixture
def running(tmp_path):
    """Starts `ftcourse lab` in a process of its own; returns it and the address that it says."""
    started = []

    def run(*words, **env):
        err = open(tmp_path / "err.txt", "w+")
        own = {"HOME": str(tmp_path / "home"), "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime")}
        command = [sys.executable, "-m", "ftcourse", "lab", str(tmp_path / "course"), *map(str, words)]
        heard = functools.partial(signal.signal, signal.SIGHUP, signal.SIG_DFL)      # even where it was ignored
        process = subprocess.Popen(command, env=os.environ | own | env, stdout=subprocess.PIPE, stderr=err, text=True,
                                   preexec_fn=heard)
        started.append((process, err))
        said = functools.partial((tmp_path / "err.txt").read_text)
        return process, wait_for(lambda: process.poll() is not None or re.search(r"http://\S+", said())), said

    yield run
    for process, err in started:
        if process.poll() is None: process.terminate()
        process.communicate(timeout=60)
        err.close()


def test_the_server_answers_keeps_the_page_and_ends_on_ctrl_c(running, tmp_path):
    (tmp_path / "home").mkdir()
    port = free_port()
    process, address, said = running("--no-browser", "--port", port, "--json")
    token = address[0].partition("token=")[2]
    assert address[0] == f"http://127.0.0.1:{port}/lab/tree/home.md?token={token}" and len(token) >= 32
    assert get(port, "/api")[0] == 200
    assert get(port, "/api/contents")[0] == 403 and get(port, "/files/home.md?token=wrong")[0] != 200
    assert get(port, f"/files/home.md?token={token}") == (200, (tmp_path / "course/home.md").read_text("utf-8"))
    page = get(port, f"/lab/tree/home.md?token={token}")[1]
    assert '"news": {"disabled": true}' in page and '"buildCheck": false' in page
    settings = get(port, f"/lab/api/settings/@jupyterlab/apputils-extension:notification?token={token}")[1]
    assert '"default": "false"' in json.dumps(json.loads(settings)["schema"]["properties"]["fetchNews"])
    assert all(token not in Path(f"/proc/{pid}/cmdline").read_text() for pid in children(process.pid))
    run(tmp_path / "course/lessons/00_assets.ipynb", 3)
    wait_for(lambda: "| cell\u00a03\u00a0of" in (tmp_path / "course/home.md").read_text("utf-8"))
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and "Traceback" not in said()
    assert {one["state"] for one in json.loads(out)["notebooks"]} == {"new"}
    with pytest.raises(ConnectionRefusedError): get(port, "/api")
    assert not (tmp_path / "home/.jupyter").exists()


def test_the_browser_is_sent_to_the_home_page_and_a_closed_terminal_ends_the_server(running, tmp_path):
    script = tmp_path / "browser"
    script.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/opened.part && mv {tmp_path}/opened.part {tmp_path}/opened\n')
    script.chmod(0o755)
    process, address, said = running(BROWSER=f"{script} %s")
    opened = wait_for(lambda: (tmp_path / "opened").exists() and (tmp_path / "opened").read_text().strip())
    assert address[0].partition("?")[0] in Path(opened.removeprefix("file://")).read_text()
    port = int(re.search(r":(\d+)/", address[0])[1])
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 0
    with pytest.raises(ConnectionRefusedError): get(port, "/api")


@pytest.mark.parametrize("ignored", [False, True])
def test_what_is_ignored_stays_ignored(ignored):
    own = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else lambda *_: None)      # ignored as under nohup
    stayed = False
    with lab._ended_by_signals():
        os.kill(os.getpid(), signal.SIGHUP)
        stayed = True
    signal.signal(signal.SIGHUP, own)
    assert stayed == ignored


@pytest.mark.browser
def test_in_the_browser_the_page_is_shown_its_links_work_and_nothing_is_asked(lab):
    strange = []
    lab.page.on("request", lambda r: r.url.startswith((lab.url, "data:", "blob:", "ws:")) or strange.append(r.url))
    lab.page.goto(f"{lab.address}&reset")
    lab.page.wait_for_selector(".jp-MarkdownViewer h1")
    lab.page.wait_for_timeout(3000)                       # the question about news would come by now
    assert lab.page.locator(".jp-toast-message, .Toastify__toast").count() == 0
    lab.page.locator(".jp-MarkdownViewer table").get_by_role("link", name="03 Freezing").click()  # it may be next, too
    lab.page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    lab.wait_until_done()                                 # a page that is left while its kernel starts complains
    assert lab.page.url.partition("?")[0].endswith("/lab/tree/lessons/03_freezing.ipynb") and strange == []


def test_a_port_that_is_taken_is_one_line(package, tmp_path, capsys):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0)), held.listen()
        port = held.getsockname()[1]
        assert main(["lab", str(tmp_path / "course"), "--no-browser", "--port", str(port)]) == 2
    err = capsys.readouterr().err
    assert f"ftcourse: port {port} can't be had (Address already in use)" in err and "Traceback" not in err
    assert main(["lab", str(tmp_path / "course"), "--port", "70000"]) == 2
    assert "from 1 to 65535" in capsys.readouterr().err


def test_without_a_port_a_taken_one_is_passed_over(monkeypatch):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0)), held.listen()
        port = held.getsockname()[1]
        monkeypatch.setattr(lab, "range", lambda low, high: range(port, port + 50), raising=False)
        assert port < lab._free_port(None) < port + 50


def test_the_port_of_a_server_that_has_just_ended_can_be_had():
    with socket.socket() as server, socket.socket() as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0)), server.listen()
        port = server.getsockname()[1]
        client.connect(("127.0.0.1", port))
        server.accept()[0].close()                        # who closes first keeps the address for a minute
    assert lab._free_port(port) == port


def test_without_jupyterlab_it_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(lab, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="JupyterLab is not installed here: pip install jupyterlab"): start(folder)


def test_a_server_that_does_not_run_says_its_last_words(folder, tmp_path, monkeypatch):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no such extension' >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr(lab.sys, "executable", str(broken))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match="its last words were: no such extension"): start(folder, browser=False)
    assert signal.getsignal(signal.SIGTERM) is before
