import shutil

from masked_network.compiled import compiled_kernels


def test_where_there_is_a_compiler_the_kernels_were_built() -> None:
    hint = "built without, or from older sources: install again, or setup.py build_ext --inplace"
    assert compiled_kernels() is not None or shutil.which("g++") is None, hint


def test_the_machine_and_the_library_agree_on_sizes() -> None:
    kernels = compiled_kernels()
    if kernels is not None:
        assert kernels.lanes in (4, 8, 16)
        assert kernels.tile >= 1
