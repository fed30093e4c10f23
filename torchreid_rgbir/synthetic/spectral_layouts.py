"""The files of synthetic data sets with several spectra, in the layouts of RGBNT100, RGBN300, MSVR310 and RGBNT201.

Source: the data sets' names of folders and files, as their authors' code reads them.
"""

import math
from collections.abc import Iterator

from torchreid_rgbir.modality import RGB
from torchreid_rgbir.synthetic.plan import PERSON, VEHICLE, ImageSpec, Plan, ids_of, last_fifth, numbers
from torchreid_rgbir.synthetic.scenes import Camera

VEHICLE_CAMERAS = tuple(Camera(number, RGB, place=number, indoor=False) for number in range(1, 9))
# Eight views of a vehicle in three scenes.
MSVR310_CAMERAS = tuple(Camera(view + 1, RGB, place=view // 3, indoor=False) for view in range(8))
RGBNT201_CAMERAS = tuple(Camera(number, RGB, place=number, indoor=False) for number in range(1, 5))
QUERY_SHARE = 5  # one in five images of an identity and camera is a query, as in RGBNT100


def plan_rgbnt100(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`rgbir/{bounding_box_train,query,bounding_box_test}/IIII_cCCCC_NNN.jpg`, each with three parts.

    The last fifth of the identities is for testing. The queries are copies of gallery images.
    """
    return _plan_wide(num_ids, images_per_camera, ("rgb", "nir", "tir"))


def plan_rgbn300(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """As `plan_rgbnt100`, but each file has two parts."""
    return _plan_wide(num_ids, images_per_camera, ("rgb", "nir"))


def _plan_wide(num_ids: int, images_per_camera: int, spectra: tuple[str, ...]) -> Plan:
    plan = last_fifth(num_ids)
    for pid, camera, number, subsets in _images(plan, VEHICLE_CAMERAS, images_per_camera):
        for subset in subsets:
            path = f"rgbir/{subset}/{pid:04d}_c{camera.number:04d}_{number - 1:03d}.jpg"
            plan.images.append(ImageSpec(path, pid, camera, number, spectra, VEHICLE))
    return plan


def plan_msvr310(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`{bounding_box_train,query3,bounding_box_test}/IIII/{vis,ni,th}/IIII_sSSS_vV_NNN.jpg`: scene S, view V.

    The last fifth of the identities is for testing. The queries are copies of gallery images.
    """
    plan = last_fifth(num_ids)
    for pid, camera, number, subsets in _images(plan, MSVR310_CAMERAS, images_per_camera, query="query3"):
        name = f"{pid:04d}_s{camera.place:03d}_v{camera.number - 1}_{number - 1:03d}.jpg"
        for subset in subsets:
            for folder, spectrum in (("vis", "rgb"), ("ni", "nir"), ("th", "tir")):
                path = f"{subset}/{pid:04d}/{folder}/{name}"
                plan.images.append(ImageSpec(path, pid, camera, number, (spectrum,), VEHICLE))
    return plan


def plan_rgbnt201(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`{train_171,test}/{RGB,NI,TI}/IIIIII_camC_0_NN.jpg`; the last fifth of the identities is for testing."""
    plan = last_fifth(num_ids)
    for pid, camera, number, subsets in _images(plan, RGBNT201_CAMERAS, images_per_camera):
        for folder, spectrum in (("RGB", "rgb"), ("NI", "nir"), ("TI", "tir")):
            part = "train_171" if subsets[0] == "bounding_box_train" else "test"
            path = f"{part}/{folder}/{pid:06d}_cam{camera.number}_0_{number - 1:02d}.jpg"
            plan.images.append(ImageSpec(path, pid, camera, number, (spectrum,), PERSON))
    return plan


def _images(
    plan: Plan, cameras: tuple[Camera, ...], images_per_camera: int, query: str = "query"
) -> Iterator[tuple[int, Camera, int, list[str]]]:
    """Identity, camera and number of each image, and the folders that it is in."""
    for pid in ids_of(plan.num_train_ids + plan.num_test_ids):
        for camera in cameras:
            for number in numbers(images_per_camera):
                is_query = number <= math.ceil(images_per_camera / QUERY_SHARE)
                test = [query, "bounding_box_test"] if is_query else ["bounding_box_test"]
                yield pid, camera, number, ["bounding_box_train"] if pid <= plan.num_train_ids else test
