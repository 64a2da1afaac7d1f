"""What goes into a wheel beside the package: the lessons, and the exercises without their solutions."""

import sys
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Notebooks(BuildHookInterface):
    def initialize(self, version: str, build_data: dict) -> None:
        if version == "editable": return                 # a checkout reads its own notebooks
        sys.path.insert(0, self.root)
        from ftcourse.exercises import sources, write_learner_edition

        self.folder = tempfile.TemporaryDirectory()
        write_learner_edition(sources(), Path(self.folder.name))
        included = build_data["force_include"]
        for file in Path(self.folder.name).iterdir(): included[str(file)] = f"ftcourse/_exercises/{file.name}"
        for file in Path(self.root, "nbs").glob("*.ipynb"): included[str(file)] = f"ftcourse/_nbs/{file.name}"

    def finalize(self, version: str, build_data: dict, artifact_path: str) -> None:
        if hasattr(self, "folder"): self.folder.cleanup()
