"""Build the extension modules; all other packaging metadata is in pyproject.toml."""

import re
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
}
# No -ffast-math: results must not depend on the instruction set or the number of threads.
FLAGS = {
    "unix": ["-O3", "-g0", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"],
    "msvc": ["/O2", "/fp:precise"],
}
NUMPY = "NPY_2_1_API_VERSION"
MACROS = [("NPY_TARGET_VERSION", NUMPY), ("NPY_NO_DEPRECATED_API", NUMPY)]
# One build works with every CPython ≥ 3.11 and every NumPy ≥ 2.1. Only free-threaded builds of
# CPython, which have no limited API, need one each.
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
if FREE_THREADED:
    DIRECTIVES["freethreading_compatible"] = True
    MACROS += [("CYTHON_USE_TYPE_SPECS", "1")]  # classes whose __exit__ atomic.pyx can replace
else:
    MACROS += [("Py_LIMITED_API", "0x030B0000")]
# OpenMP flags of each kind of compiler, (compile, link); the first pair that works is used.
OPENMP = {
    "unix": [(["-fopenmp"], ["-fopenmp"]), (["-Xpreprocessor", "-fopenmp"], ["-lomp"])],
    "msvc": [(["/openmp"], [])],
}
C = "int main(void) { return 0; }\n"
HEADERS = "#include <Python.h>\n" + C
PROBE = "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
MISSING = """
minidl: {what}, which its compiled kernels need. Install it and repeat the command.
  Debian, Ubuntu: apt install gcc python3-dev    Fedora: dnf install gcc python3-devel
  macOS: xcode-select --install    Windows: Visual Studio Build Tools with its C++ workload
"""


class BuildKernels(build_ext):
    """Compile with the flags for the current compiler, and with OpenMP if it is available."""

    def build_extensions(self):
        if not self.works(C):
            sys.exit(MISSING.format(what="there is no C compiler"))
        if not self.works(HEADERS):
            sys.exit(MISSING.format(what="there is no Python.h, a header of Python"))
        kind = "msvc" if self.compiler.compiler_type == "msvc" else "unix"
        compile_openmp, link_openmp = self.find_openmp(OPENMP[kind])
        for extension in self.extensions:
            extension.extra_compile_args = FLAGS[kind] + compile_openmp
            extension.extra_link_args = link_openmp
        super().build_extensions()

    def find_openmp(self, candidates):
        """The first pair of flags that compiles and links a small OpenMP program, or empty ones."""
        for compile_flags, link_flags in candidates:
            if self.works(PROBE, compile_flags, link_flags):
                return compile_flags, link_flags
        print("minidl: OpenMP not found; the kernels will use one thread", file=sys.stderr)
        return [], []

    def works(self, program, compile_flags=(), link_flags=None):
        """Whether a program compiles and, with flags to link it, links."""
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder, "probe.c")
            source.write_text(program)
            try:
                objects = self.compiler.compile(
                    [str(source)], output_dir=folder, extra_postargs=list(compile_flags)
                )
                if link_flags is not None:
                    self.compiler.link_executable(
                        objects, str(Path(folder, "probe")), extra_postargs=link_flags
                    )
            except Exception:  # each compiler class raises its own exception
                return False
        return True


def description():
    """The text of README.md, with links and pictures that work elsewhere, too, such as on PyPI."""
    root = Path(__file__).resolve().parent
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    version = re.search(r'__version__ = "(.*)"', (root / "minidl/config.py").read_text("utf-8"))[1]
    text = (root / "README.md").read_text(encoding="utf-8")
    for mark, view in ((r"(!\[[^]]*\]\()", "raw"), (r"((?<!!)\[[^]]*\]\()", "blob")):
        text = re.sub(mark + "(?!https?:|#)", rf"\1{urls['Homepage']}/{view}/v{version}/", text)
    return text


setup(
    long_description=description(),
    long_description_content_type="text/markdown",
    ext_modules=cythonize(
        [
            Extension(
                f"minidl._kernels.{name}",
                [f"minidl/_kernels/{name}.pyx"],
                define_macros=MACROS,
                include_dirs=[numpy.get_include()],
                py_limited_api=not FREE_THREADED,
            )
            for name in (
                *("atomic", "blas", "layer", "loss", "optim"),
                *("plan", "replay", "special", "system"),
            )
        ],
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": BuildKernels},
    options={} if FREE_THREADED else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
