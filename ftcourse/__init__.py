"""Fine-tuning of pretrained networks: load, freeze, train, evaluate. The lessons in `nbs/` are the source."""

__version__ = "0.1.0"

import importlib
import os

# Threads that wait by spinning take the cores away from whoever else is computing. OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOME = {
    name: module
    for module, names in {
        "assets": ("fetch", "AssetError", "InputError"),
        "data": ("load_task", "Task", "Split"),
        "models": ("load_model", "stages", "Stage", "save_model", "summary"),
        "freezing": ("freeze", "unfreeze", "param_groups", "audit"),
        "training": ("Recipe", "finetune", "Run", "find_lr"),
        "evaluation": ("evaluate", "Report", "compare"),
    }.items()
    for name in names
}
__all__ = list(_HOME)


def __getattr__(name):
    """Import a public name, and torch behind it, when it is first used."""
    if name in _HOME:
        return getattr(importlib.import_module(f"ftcourse.{_HOME[name]}"), name)
    raise AttributeError(f"module 'ftcourse' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
