"""All of it is in pyproject.toml, but that the wheel holds recipes/ and CITATION.cff inside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class WithRecipes(build_py):
    """In a checkout, and where it is installed with -e, recipes are read where they stand."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("recipes", Path(self.build_lib) / "vidops_cli" / "recipes", dirs_exist_ok=True)
            shutil.copy("CITATION.cff", Path(self.build_lib) / "vidops_cli")


setup(cmdclass={"build_py": WithRecipes})
