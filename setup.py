"""The compiled code of the package; everything else about it is in setup.cfg."""

from glob import glob

from setuptools import Extension, setup

NATIVE = "engines/native/"

setup(
    ext_modules=[
        Extension(
            "nightday.engines.native.kernels",
            sorted(glob(f"{NATIVE}*.cpp")),
            depends=glob(f"{NATIVE}*.h"),
            language="c++",
            # Sums are taken in the order that vectors take them in; nothing else is looser than the standard says.
            extra_compile_args=[
                *("-std=c++17", "-O3", "-g0", "-fopenmp-simd", "-ffp-contract=fast", "-Wno-psabi"),
                *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
            ],
            # Without a compiler the package installs all the same, and OpenVINO does what this code would do.
            optional=True,
        )
    ]
)
