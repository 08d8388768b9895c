"""Build with colcon (ament_python) or with pip; the version stands in package.xml only."""

from glob import glob
from pathlib import Path
from xml.etree import ElementTree

from setuptools import Extension, find_packages, setup

NAME = "mail_localization"
MANIFEST = ElementTree.parse(Path(__file__).parent / "package.xml").getroot()

# Libraries that rosdep does not install; errors.MissingDependencyError names the extra.
BAGS = ["rosbags>=0.11.9,<0.12"]
RUNTIME = ["onnxruntime>=1.18", "safetensors>=0.5"]
MODELS = [*RUNTIME, "onnx>=1.16", "torch>=2.6"]
MATCHING = ["dtaidistance>=2.4,<3", "vqf>=2.1,<3"]
WIFI = ["jeepney>=0.7"]
DISTRIBUTED = ["distributed>=2024.1"]

# A plain shared library, without Python in it; optional: where it cannot be compiled, ONNX Runtime does its work.
KERNEL = Extension(
    f"{NAME}.models.exported._gru",
    [f"{NAME}/models/exported/gru.c"],
    extra_compile_args=["-O3"],
    optional=True,
)

setup(
    name=NAME,
    version=MANIFEST.findtext("version"),
    description=MANIFEST.findtext("description"),
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=MANIFEST.findtext("maintainer"),
    author_email=MANIFEST.find("maintainer").get("email"),
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    ext_modules=[KERNEL],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*.*"))),
    ],
    install_requires=["matplotlib", "numpy>=1.26", "pillow", "PyYAML", "scipy", "tqdm"],
    extras_require={
        "bags": BAGS,
        "runtime": RUNTIME,
        "models": MODELS,
        "matching": MATCHING,
        "wifi": WIFI,
        "distributed": DISTRIBUTED,
        "all": BAGS + MODELS + MATCHING + WIFI + DISTRIBUTED,
        "test": ["hypothesis", "pytest<8.4"],
    },
    entry_points={
        "console_scripts": [
            f"mail_localization = {NAME}.cli:main",
            f"fleet_node = {NAME}.ros.fleet_node:main",
            f"localizer_node = {NAME}.ros.localizer_node:main",
            f"wifi_scanner_node = {NAME}.ros.wifi_scanner_node:main",
        ],
    },
    zip_safe=False,
)
