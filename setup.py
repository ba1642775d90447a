"""Builds the C++ extension, nothing else; everything about the package is in pyproject.toml.

RSFAST_BUILD_EXT=auto (default) builds if a compiler works, 1 must build, 0 skips.  What happened is written into the
package as _build.json, so that `rsfast info` can say why the extension is missing.
"""

import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

MODE = os.environ.get("RSFAST_BUILD_EXT", "auto")
if MODE not in ("auto", "1", "0"):
    sys.exit(f"RSFAST_BUILD_EXT={MODE!r} is not a build mode: give auto, 1 or 0.")

GCC_FLAGS = [
    "-std=c++17",
    "-O3",
    "-ffp-contract=off",  # a fused multiply-add would give other bits than NumPy and Triton
    "-fno-math-errno",  # lets sqrt vectorise
    "-fno-trapping-math",
    "-fvisibility=hidden",
    "-g0",
    "-Wall",
    "-Wextra",
]
MSVC_FLAGS = ["/std:c++17", "/O2", "/fp:strict", "/EHsc"]


class BuildExtension(build_ext):
    """Compiles rsfast._C, or records why it could not be compiled."""

    def run(self):
        reason = ""
        try:
            super().run()
        except Exception as error:  # compilers fail in many ways; none of them should stop an optional extension
            if MODE == "1":
                raise
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            self.extensions = []  # nothing to copy into an editable install
            print(f"rsfast: the C++ extension was not built ({reason}); the numba backend will be used.", file=sys.stderr)
        self._record(reason)

    def _record(self, reason):
        package = Path("rsfast") if self.inplace else Path(self.build_lib, "rsfast")
        package.mkdir(parents=True, exist_ok=True)
        (package / "_build.json").write_text(json.dumps({"extension": not reason, "reason": reason}) + "\n")

    def build_extensions(self):
        flags = MSVC_FLAGS if self.compiler.compiler_type == "msvc" else GCC_FLAGS
        openmp = self._openmp()
        for extension in self.extensions:
            extension.extra_compile_args = flags + openmp
            extension.extra_link_args = openmp
            extension.define_macros = [("RSFAST_SOURCES", f'"{sources_hash()}"')]
        super().build_extensions()

    def _openmp(self):
        """What turns OpenMP on, or nothing.  torch's CPU builds bring the same library, so that both share one set of threads."""
        if self.compiler.compiler_type == "msvc" or sys.platform == "darwin":
            return []
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.cpp")
            source.write_text("#include <omp.h>\nint main() { return omp_get_max_threads() < 1; }\n")
            try:
                objects = self.compiler.compile([str(source)], output_dir=folder, extra_postargs=["-fopenmp"])
                self.compiler.link_executable(objects, str(Path(folder, "probe")), extra_postargs=["-fopenmp"])
            except Exception:  # no OpenMP for this compiler
                return []
        return ["-fopenmp"]


def sources_hash():
    """The same as rsfast.backends.native.sources_hash: tells an extension that was built from older sources."""
    digest = hashlib.sha256()
    for path in sorted(Path("csrc").glob("*.[ch]pp")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def extensions():
    if MODE == "0":
        return []
    try:
        from pybind11 import get_include
    except ImportError:  # only without build isolation: pyproject.toml asks for it
        if MODE == "1":
            raise
        print("rsfast: the C++ extension is not built (pybind11 is missing).", file=sys.stderr)
        return []

    sources = [str(path) for path in sorted(Path("csrc").glob("*.cpp"))]
    headers = [str(path) for path in sorted(Path("csrc").glob("*.hpp"))]
    return [Extension("rsfast._C", sources, include_dirs=[get_include()], depends=headers, language="c++")]


setup(ext_modules=extensions(), cmdclass={"build_ext": BuildExtension})
