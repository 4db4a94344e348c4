"""Builds the kernels with the package where a C++ compiler is there; pyproject.toml has the rest.

Without one the program is installed all the same, and runs slower (`pipeline/native`).
"""

import importlib.util
import logging
from pathlib import Path
from typing import Any

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parent
_NATIVE = "pipeline/native"


def _compiler() -> Any:
    """The module that the program itself compiles them with; it needs nothing installed."""
    path = ROOT / _NATIVE / "compiler.py"
    spec = importlib.util.spec_from_file_location("compiler", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class _BuildKernels(build_ext):
    """Compiles a library for each variant of the processor; they are no Python modules."""

    def run(self) -> None:
        compiler = _compiler()
        folder = Path(self.build_lib, "vcam_relight", _NATIVE)
        if self.inplace or self.editable_mode:
            folder = ROOT / _NATIVE
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob("_kernels_*"):
            stale.unlink()
        try:
            for variant in compiler.variants():
                compiler.compile_kernels(variant, folder / compiler.library_name(variant))
        except (OSError, RuntimeError) as error:
            logging.warning("the kernels in C++ are left out, relighting is slower: %s", error)

    def get_outputs(self) -> list[str]:
        folder = Path(self.build_lib, "vcam_relight", _NATIVE)
        return [str(path) for path in folder.glob("_kernels_*")]

    def get_output_mapping(self) -> dict[str, str]:
        return {}


class _AnyPython(bdist_wheel):
    """The libraries know nothing of Python: one wheel a platform."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


if __name__ == "__main__":
    setup(
        ext_modules=[Extension("vcam_relight.pipeline.native._kernels", [])],
        cmdclass={"build_ext": _BuildKernels, "bdist_wheel": _AnyPython},
    )
