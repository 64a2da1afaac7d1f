"""The command `ftcourse`, also as `python -m ftcourse`. What it can do it tells at once, without loading torch."""

import ast
import os
import shutil
import sys
import textwrap
from pathlib import Path


def overview(width: int) -> str:
    """What `ftcourse --help` says. The commands are read from the source of `ftcourse.cli`, which is not run."""
    body = ast.parse(Path(__file__).with_name("cli.py").read_text(encoding="utf-8")).body
    purpose = {node.name: ast.get_docstring(node) for node in body if isinstance(node, ast.FunctionDef)}
    table = {node.targets[0].id: node.value for node in body if isinstance(node, ast.Assign) and hasattr(node.targets[0], "id")}
    commands = {key.value: value.id for key, value in zip(table["_COMMANDS"].keys, table["_COMMANDS"].values, strict=True)}
    column = max(map(len, commands)) + 4
    lines = ["usage: ftcourse COMMAND …", "", textwrap.fill(ast.literal_eval(table["_ABOUT"]), width), ""]
    for name, function in commands.items():
        sentence = " ".join(purpose[function].split("\n\n")[0].split())
        lines.append(textwrap.fill(sentence, width, initial_indent=f"  {name:{column - 2}}", subsequent_indent=" " * column))
    return "\n".join([*lines, "", "ftcourse COMMAND --help tells what it takes."])


def main(argv: list[str] | None = None) -> int:
    """Run `ftcourse` with `argv`, or the process's own arguments. Returns the exit status."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv in ([], ["-h"], ["--help"]):
        text = overview(min(100, shutil.get_terminal_size().columns - 2))
        try: print(text, file=sys.stdout if argv else sys.stderr, flush=True)
        except BrokenPipeError: os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())    # `ftcourse --help | head -1`
        return 0 if argv else 2
    from ftcourse.cli import main as run

    return run(argv)


if __name__ == "__main__":
    sys.exit(main())
