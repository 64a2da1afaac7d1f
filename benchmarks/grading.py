"""How long a submission takes to grade, here and in the graders that are in use: `python benchmarks/grading.py`.

One exercise (freezing.5: which tensors of two state dicts differ), one right answer, several submissions of it. Ours
runs as `ftcourse grade` does, with one cage. nbgrader runs `nbgrader autograde` for each learner, with the hidden tests
in the notebook as it wants them; Otter-Grader runs `otter run`, its way without containers. Both are measured only
where they are installed: `--nbgrader PYTHON` and `--otter PYTHON` name the Python of an environment that has them and
torch. Then 200 submissions of a notebook with ten exercises or more are graded, in as many cages as there are cores,
and memory is looked at along the way. Written is benchmarks/grading.json.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ftcourse.exercises import edition, exercises_in, notebook, read_cells, sources
from ftcourse.grading import grade
from ftcourse.training import environment

OUT = Path(__file__).with_suffix(".json")
ANSWER = """def moved(before, after):
    return sorted(name for name in before if not torch.equal(before[name], after[name]))
"""
TESTS = """import torch
generator = torch.Generator().manual_seed(0)
for _ in range(3):
    before = {name: torch.randn(2, 3, generator=generator) for name in "abcdef"}
    after = {name: value.clone() for name, value in before.items()}
    after["b"][0, 0] += 1e-6
    after["e"] = after["e"].flip(1)
    assert moved(before, after) == ["b", "e"]
"""


def ours(count: int, folder: Path) -> dict:
    """Seconds of each submission in one cage, and of starting that cage."""
    text = "#| exercise freezing.5 answer=moved points=2 difficulty=1 minutes=5\n" + ANSWER
    for i in range(count): (folder / f"{i}.ipynb").write_text(notebook([("code", "import torch"), ("code", text)]))
    grades = grade([folder], workers=1)
    assert all(next(mark for mark in one.marks if mark.id == "freezing.5").reached for one in grades.graded)
    each = [one.seconds for one in grades.graded]
    start = round(grades.seconds - sum(each), 2)
    return {"seconds": each, "start": start, "exercises_asked": len(grades.graded[0].marks)}


def _run(command: list, cwd: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, timeout=600)
    if done.returncode: raise SystemExit(f"{command[:5]}: {(done.stdout + done.stderr)[-2000:]}")
    return round(time.perf_counter() - began, 3)


def nbgrader(python: str, count: int, folder: Path) -> dict:
    """Seconds of `nbgrader autograde` for each of `count` learners."""
    def cell(text, id, **marks):
        about = {"grade_id": id, "schema_version": 3, **dict.fromkeys(("task", "grade", "solution", "locked"), False)}
        return {"cell_type": "code", "id": id, "metadata": {"nbgrader": about | marks}, "source": text,
                "execution_count": None, "outputs": []}

    book = json.loads(notebook([("code", "import torch")]))
    tests = "### BEGIN HIDDEN TESTS\n" + TESTS + "### END HIDDEN TESTS"
    book["cells"] += [cell("### BEGIN SOLUTION\n" + ANSWER + "### END SOLUTION", "moved", solution=True),
                      cell(tests, "moved-check", grade=True, locked=True, points=2)]
    (folder / "source" / "ps").mkdir(parents=True)
    (folder / "source" / "ps" / "one.ipynb").write_text(json.dumps(book))
    _run([python, "-m", "nbgrader", "generate_assignment", "ps"], folder)
    released = json.loads((folder / "release" / "ps" / "one.ipynb").read_text())
    for one in released["cells"]:
        if one["metadata"].get("nbgrader", {}).get("solution"): one["source"] = ANSWER
    each = []
    for i in range(count):
        place = folder / "submitted" / f"learner{i}" / "ps"
        place.mkdir(parents=True)
        (place / "one.ipynb").write_text(json.dumps(released))
        each.append(_run([python, "-m", "nbgrader", "autograde", "ps", "--student", f"learner{i}"], folder))
    return {"seconds": each, "version": _version(python, "nbgrader")}


def otter(python: str, count: int, folder: Path) -> dict:
    """Seconds of `otter run` for each of `count` submissions."""
    code = "\n".join(("... " if line.startswith(" ") else ">>> ") + line for line in TESTS.splitlines())
    case = {"code": code, "hidden": True, "locked": False}
    suite = {"cases": [case], "scored": True, "setup": "", "teardown": "", "type": "doctest"}
    test = {"name": "q1", "points": 2, "suites": [suite]}
    (folder / "tests").mkdir()
    (folder / "tests" / "q1.py").write_text(f"OK_FORMAT = True\ntest = {test!r}\n")
    tool = Path(python).with_name("otter")
    _run([tool, "generate", "-t", "tests", "-o", "autograder.zip"], folder)
    each = []
    for i in range(count):
        (folder / f"{i}.ipynb").write_text(notebook([("code", "import torch"), ("code", ANSWER)]))
        (folder / f"out{i}").mkdir()
        each.append(_run([tool, "run", "-a", "autograder.zip", "-o", f"out{i}", f"{i}.ipynb"], folder))
        result = json.loads((folder / f"out{i}" / "results.json").read_text())
        assert any(test.get("score") == 2 for test in result["tests"]), result
    return {"seconds": each, "version": _version(python, "otter-grader")}


def _version(python: str, package: str) -> str:
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def many(folder: Path, count: int = 200, exercises: int = 10) -> dict:
    """Grade `count` notebooks of `exercises` exercises or more: seconds, and the grader's memory along the way."""
    cells, asked = [], {}
    for source in sources():
        some = read_cells(source.read_bytes())
        names = [exercise.answer for exercise in [*asked.values(), *exercises_in(some).values()]]
        if len(set(names)) < len(names): continue        # two functions of one name can't be in one notebook
        cells += [text for kind, text in edition(some, "solutions") if kind == "code"]
        asked |= exercises_in(some)
        if len(asked) >= exercises: break
    for i in range(count): (folder / f"{i}.ipynb").write_text(notebook([("code", text) for text in cells]))
    memory = []

    def look(graded):
        assert graded.reached == graded.points, graded
        memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20)

    grades = grade([folder], tell=look)
    quarters = [memory[min(len(memory) - 1, len(memory) * k // 4)] for k in range(5)]
    return {"submissions": count, "exercises": len(asked), "seconds": grades.seconds,
            "cages": len(os.sched_getaffinity(0)), "grader_mb_at_each_quarter": quarters,
            "median_seconds": statistics.median(one.seconds for one in grades.graded)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nbgrader", metavar="PYTHON", help="the Python that has nbgrader")
    parser.add_argument("--otter", metavar="PYTHON", help="the Python that has otter-grader")
    parser.add_argument("--count", type=int, default=7, help="submissions for each grader")
    parser.add_argument("--many", type=int, default=200, help="submissions for the large run; 0: none")
    args = parser.parse_args()
    root, result = Path(tempfile.mkdtemp()), {"environment": environment()}
    for name in ("ours", "nbgrader", "otter", "many"): (root / name).mkdir()
    try:
        result["ftcourse"] = ours(args.count, root / "ours")
        if args.nbgrader: result["nbgrader"] = nbgrader(args.nbgrader, args.count, root / "nbgrader")
        if args.otter: result["otter"] = otter(args.otter, args.count, root / "otter")
        own = statistics.median(result["ftcourse"]["seconds"])
        for name in ("nbgrader", "otter"):
            if name in result: result[name]["times_ours"] = round(statistics.median(result[name]["seconds"]) / own, 1)
        if args.many: result["many"] = many(root / "many", args.many)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), file=sys.stdout)


if __name__ == "__main__":
    main()
