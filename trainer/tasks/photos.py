"""Colour photographs that scikit-image and scikit-learn carry inside their packages. Nothing is ever
downloaded."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from probes.errors import MissingDependencyError
from trainer.errors import TaskError


@dataclass(frozen=True)
class Photo:
    """One photograph: the class name it gives its patches, the file inside a package, its author and
    terms."""

    name: str
    package: str
    file: str
    credit: str


# Left out on purpose: motorcycle_right (the same scene as motorcycle_left), and drawings (logo, colour
# chart).
PHOTOS: tuple[Photo, ...] = (
    Photo("astronaut", "skimage", "data/astronaut.png", "Eileen Collins, NASA; public domain"),
    Photo("cat", "skimage", "data/chelsea.png", "Stefan van der Walt; CC0"),
    Photo("china", "sklearn", "datasets/images/china.jpg", "danielbuechele; CC BY 2.0"),
    Photo("coffee", "skimage", "data/coffee.png", "Rachel Michetti, Pikolo Espresso Bar; CC0"),
    Photo("flower", "sklearn", "datasets/images/flower.jpg", "vultilion; CC BY 2.0"),
    Photo("galaxies", "skimage", "data/hubble_deep_field.jpg", "Hubble eXtreme Deep Field, NASA; public domain"),
    Photo(
        "motorcycle",
        "skimage",
        "data/motorcycle_left.png",
        "Middlebury stereo benchmark 2014, D. Scharstein et al.",
    ),
    Photo("retina", "skimage", "data/retina.jpg", "Mikael Haeggstroem; CC0"),
    Photo("rocket", "skimage", "data/rocket.jpg", "SpaceX; CC0"),
    Photo(
        "tissue",
        "skimage",
        "data/ihc.png",
        "Centre for Microscopy, Characterisation and Analysis, UWA; no known restrictions",
    ),
)


def read_photo(photo: Photo) -> np.ndarray:
    """The photograph as uint8 [height, width, 3].

    Raises `MissingDependencyError` when its package is not installed, `TaskError` when the package lacks the
    file.
    """
    path = _package_folder(photo.package) / photo.file
    if not path.is_file():
        raise TaskError(f"photograph '{photo.name}': {path} does not exist; reinstall {photo.package}")
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _package_folder(package: str) -> Path:
    # Found, not imported: importing scikit-learn takes longer than reading all the photographs.
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        project = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
        raise MissingDependencyError(f"{project} is not installed: pip install 'babysit[train]'")
    return Path(spec.submodule_search_locations[0])
