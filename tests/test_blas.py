"""Which functions multiply matrices: looked up in real libraries, and in imitations of others."""

import ctypes
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gemms import Library, gemms

import minidl as dl
from minidl import _blas
from minidl._kernels import blas

CORE = sys.modules["numpy._core._multiarray_umath"].__file__


@pytest.fixture(autouse=True)
def blas_put_back():
    yield
    dl.config.set_blas(None)


@pytest.fixture
def libraries(monkeypatch):
    """Imitations by path, which ctypes loads instead of files."""
    found, real = {}, ctypes.CDLL

    def load(path):
        if path is None:
            return real(path)
        if path not in found:
            raise OSError(f"{path}: no such library")
        return found[path]

    monkeypatch.setattr(ctypes, "CDLL", load)
    return found


def multiplies():
    """Whether products are right now, in both dtypes."""
    a = np.arange(12).reshape(3, 4)
    return all((blas.product(x, x, False, True) == a @ a.T).all() for x in (a.astype("f"), a * 1.0))


# --- names, and the integers that they stand for ------------------------------------------------

FAMILIES = {
    "PyPI's NumPy": ("scipy_cblas_{}gemm64_", 64),
    "PyPI's SciPy": ("scipy_cblas_{}gemm", 32),
    "conda's libcblas, Debian's OpenBLAS and BLIS": ("cblas_{}gemm", 32),
    "conda's and Fedora's OpenBLAS with 64-bit integers": ("cblas_{}gemm64_", 64),
    "Netlib's BLAS with 64-bit integers": ("cblas_{}gemm_64", 64),
    "Apple's Accelerate with 64-bit integers": ("cblas_{}gemm$NEWLAPACK$ILP64", 64),
    "Apple's Accelerate": ("cblas_{}gemm$NEWLAPACK", 32),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_each_familys_functions_are_found_and_multiply(family, libraries):
    name, bits = FAMILIES[family]
    libraries["library"] = Library(**gemms(name, bits == 64))
    dl.config.set_blas("library")
    assert blas.name.startswith(name.format("s") + " of ")
    assert blas.name.endswith(f", {bits}-bit integers")
    assert multiplies()


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (["cblas_{}gemm", "cblas_{}gemm_64"], "cblas_sgemm_64"),  # MKL
        (["cblas_{}gemm", "cblas_{}gemm$NEWLAPACK"], "cblas_sgemm$NEWLAPACK"),
        (["cblas_{}gemm$NEWLAPACK", "cblas_{}gemm$NEWLAPACK$ILP64"], "cblas_sgemm$NEWLAPACK$ILP64"),
    ],
)
def test_of_several_names_the_one_with_64_bit_integers_or_the_newer_is_taken(names, first):
    each = {name: dict.fromkeys((name.format("s"), name.format("d")), name) for name in names}
    library = Library(**{key: value for pair in each.values() for key, value in pair.items()})
    assert _blas.look_up(library, "")[0] == first


@pytest.mark.parametrize("kind", "sd")
def test_a_name_with_one_function_of_two_is_passed_over(kind):
    half = {f"scipy_cblas_{kind}gemm64_": "half"}
    library = Library(**half, cblas_sgemm="s", cblas_dgemm="d")
    assert _blas.look_up(library, "") == ("cblas_sgemm", False, "s", "d")


@pytest.mark.parametrize(
    ("config", "wide"),
    [
        (b"OpenBLAS 0.3.31 USE64BITINT DYNAMIC_ARCH", True),
        (b"OpenBLAS 0.3.31 DYNAMIC_ARCH", False),
    ],
)
def test_openblas_says_how_wide_its_integers_are_if_its_names_do_not(config, wide):
    text = ctypes.create_string_buffer(config)
    get_config = ctypes.CFUNCTYPE(ctypes.c_void_p)(lambda: ctypes.addressof(text))
    library = Library(cblas_sgemm="s", cblas_dgemm="d", openblas_get_config=get_config)
    assert _blas.look_up(library, "")[1] is wide


@pytest.mark.parametrize("bits", [32, 64])
def test_blis_says_how_wide_its_integers_are_if_its_names_do_not(bits):
    size = ctypes.CFUNCTYPE(ctypes.c_int64)(lambda: bits)
    library = Library(cblas_sgemm="s", cblas_dgemm="d", bli_info_get_blas_int_type_size=size)
    assert _blas.look_up(library, "")[1] is (bits == 64)


# --- NumPy's own --------------------------------------------------------------------------------


@pytest.fixture
def windows(monkeypatch, tmp_path):
    """The files of a Python on Windows: the core module, the DLL of NumPy's wheel, and conda's."""
    packages = tmp_path / "Lib/site-packages"
    core = packages / "numpy/_core/_multiarray_umath.pyd"
    wheel = packages / "numpy.libs/libscipy_openblas64_-860d95b1c38e637c.dll"
    conda = tmp_path / "Library/bin/libcblas.dll"
    for path in core, wheel, wheel.with_name("msvcp140-263139962577ecda.dll"), conda:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setattr(np, "__file__", str(packages / "numpy/__init__.py"))
    monkeypatch.setattr(sys.modules["numpy._core._multiarray_umath"], "__file__", str(core))
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "win32")
    return list(map(str, (core, wheel, conda)))


@pytest.mark.parametrize("at", [1, 2])
def test_on_windows_the_functions_are_those_of_the_wheels_dll_or_of_condas(at, windows, libraries):
    """The core module exports none of them there."""
    libraries[windows[0]] = Library()
    libraries[windows[at]] = Library(**gemms("cblas_{}gemm", False))
    dl.config.set_blas(None)
    assert blas.name == f"cblas_sgemm of {Path(windows[at]).name}, 32-bit integers"
    assert multiplies()


def test_a_wheels_dll_comes_before_condas(windows, libraries):
    for path in windows[1:]:
        libraries[path] = Library(**gemms("scipy_cblas_{}gemm64_", True))
    dl.config.set_blas(None)
    assert blas.name == f"scipy_cblas_sgemm64_ of {Path(windows[1]).name}, 64-bit integers"


def test_a_library_that_multiplies_wrong_is_passed_over(windows, libraries):
    libraries[windows[0]] = Library(**gemms("cblas_{}gemm64_", True, wrong=True))
    libraries[windows[2]] = Library(**gemms("cblas_{}gemm", False))
    dl.config.set_blas(None)
    assert blas.name.startswith("cblas_sgemm of libcblas.dll")


@pytest.mark.parametrize("core", [{}, {"cblas_sgemm": None}])
def test_without_functions_products_go_through_numpys_dot_and_the_configuration_says_so(
    core, libraries, capsys
):
    libraries[CORE] = Library(**core)
    dl.config.set_blas(None)
    dl.show_config()
    assert "products numpy.dot, since NumPy's BLAS has no function cblas_sgemm" in (
        capsys.readouterr().out
    )
    assert multiplies()


@pytest.mark.skipif(sys.platform == "win32", reason="the loader tells no file")
def test_the_file_is_the_one_that_holds_the_function_not_the_one_that_is_linked_with_it():
    place = ctypes.cast(ctypes.CDLL(None).strlen, ctypes.c_void_p).value
    assert Path(_blas.file_of(place, CORE)).name.startswith(("libc", "libSystem", "libsystem"))


def test_numpys_blas_is_found_at_import_and_named_with_its_file():
    """It is the same as set_blas finds now."""
    code = "import minidl; from minidl._kernels import blas; print(blas.name)"
    shown = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert shown.strip() == blas.name


# --- another library ----------------------------------------------------------------------------


def test_mkl_is_found_where_pip_and_conda_install_it(libraries, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for name in "lib/libmkl_rt.so.3", "Library/bin/mkl_rt.2.dll":
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        libraries[str(path)] = Library(**gemms("cblas_{}gemm_64", True))
        dl.config.set_blas("mkl")
        assert blas.name.startswith("cblas_sgemm_64 of")
        assert multiplies()
        dl.config.set_blas(None)
        path.unlink()
        path.parent.rmdir()


def test_mkl_that_is_not_installed_is_an_error_that_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(OSError, match=r"'mkl' can't be loaded: .* minidl\[mkl\] is installed"):
        dl.config.set_blas("mkl")


def test_the_mkl_of_this_machine_multiplies_if_there_is_one():
    try:
        dl.config.set_blas("mkl")
    except OSError:
        pytest.skip("the package mkl is not installed")
    assert blas.name.startswith("cblas_sgemm_64 of ")
    assert multiplies()


def test_a_library_without_the_functions_names_what_was_looked_for():
    with pytest.raises(
        ValueError, match=r"'a path' has no matrix product: none of .*, cblas_sgemm$"
    ):
        _blas.look_up(Library(), "a path")


def test_the_blas_of_numpy_can_be_confined_to_one_thread(monkeypatch):
    calls = []
    library = type("OpenBLAS", (), {"openblas_set_num_threads": calls.append})
    monkeypatch.setattr(_blas, "paths_of_numpys", lambda: iter(["missing", "openblas"]))
    monkeypatch.setattr(_blas.ctypes, "CDLL", {"missing": object(), "openblas": library}.get)
    assert _blas.use_one_thread()
    assert calls == [1]
    monkeypatch.setattr(_blas, "paths_of_numpys", lambda: iter(["missing"]))
    assert not _blas.use_one_thread()
