"""The compiled kernels, where there is a compiler; everything else is said in pyproject.toml.

They use no Python headers and are loaded by ctypes. Without them all works, only slower.
"""

from setuptools import Extension, setup

setup(
    ext_modules=[
        Extension(
            "masked_network._lanes",
            sources=[
                f"masked_network/{name}.cpp"
                for name in (
                    *("coefficients", "dense", "lanes", "likelihoods", "lookup", "registers"),
                    *("residual", "scan"),
                )
            ],
            depends=[
                f"masked_network/{name}.hpp"
                for name in ("convolution", "kept", "register_tables", "tiles", "vectors", "widest")
            ],
            # What is off warns of nothing: vectors cross no library's border, and gcc 12 doubts
            # its own headers.
            extra_compile_args=["-std=c++17", "-O3", "-Wno-psabi", "-Wno-maybe-uninitialized"],
            optional=True,
        )
    ]
)
