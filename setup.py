from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "torchreid_rgbir/__init__.py").read_text(encoding="utf-8").splitlines()
    if line.startswith("__version__")
)

GALLERY = ["lancedb>=0.40"]
CLUSTER = ["pymilvus>=3.0"]
EXPORT = ["onnx>=1.17", "onnxscript", "onnxruntime", "safetensors"]  # onnxscript: torch.onnx.export needs it
DOCS = ["zensical>=0.0.73", "mkdocstrings-python>=2", "latex2mathml>=3.78"]
VISUAL = ["matplotlib>=3.8", "scikit-learn", "jinja2"]

setup(
    name="torchreid-rgbir",
    version=VERSION,
    description="Visible-infrared (RGB-IR) re-identification for torchreid: data, dual-stream model, MSO losses, protocols",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    license_files=["LICENSE", "THIRD_PARTY_NOTICES.md"],
    python_requires=">=3.10",
    # configs/ stands beside the package in a checkout and inside it once installed.
    packages=[*find_packages(include=["torchreid_rgbir", "torchreid_rgbir.*"]), "torchreid_rgbir.configs"],
    py_modules=["torchreid_rgbir_start"],  # outside of the package, whose import it guards
    package_dir={"torchreid_rgbir.configs": "configs"},
    package_data={"torchreid_rgbir": ["py.typed", "visual/page.html"], "torchreid_rgbir.configs": ["*.yaml"]},
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "torchreid>=0.2.5",
        "yacs>=0.1.8",
        "pyyaml",
        "numpy>=1.26",
        "scipy>=1.11",
        "Pillow>=10",
        "tqdm",
        "shtab>=1.13",
        # torchreid on PyPI declares nothing: the rest is what `import torchreid` and its downloads need.
        "gdown",
        "opencv-python-headless",
        "tensorboard",
    ],
    extras_require={
        "gallery": GALLERY,
        "cluster": CLUSTER,
        "export": EXPORT,
        "visual": VISUAL,
        "docs": DOCS,
        # milvus-lite serves a Milvus cluster's calls inside a test.
        "dev": [
            *GALLERY,
            *CLUSTER,
            "milvus-lite>=3.2",
            *EXPORT,
            *VISUAL,
            *DOCS,
            "pytest>=8.1",
            "pytest-xdist",
            "hypothesis",
            "coverage",
            "ruff",
            "mypy",
            "pylint",  # its guard against copies
            "pre-commit",
            "build",
        ],
    },
    entry_points={"console_scripts": ["torchreid-rgbir = torchreid_rgbir_start:main"]},
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
