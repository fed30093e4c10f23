"""The files of a synthetic data set in the official layouts of SYSU-MM01, RegDB and LLCM, and in plain folders.

Source: the data sets' official files (names of folders and lists, the permutation file).
"""

import io
from collections.abc import Callable, Iterable

import numpy as np
from scipy.io import savemat

from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.protocols import llcm
from torchreid_rgbir.protocols.galleries import NUM_TRIALS
from torchreid_rgbir.protocols.regdb import NUM_SPLITS
from torchreid_rgbir.synthetic import spectral_layouts, track_layouts
from torchreid_rgbir.synthetic.plan import ImageSpec, Plan, ids_of, last_fifth, numbers
from torchreid_rgbir.synthetic.scenes import Camera

# Camera 3 (IR) is at the place of camera 2 (RGB); the official protocol skips such pairs.
SYSU_CAMERAS = (
    Camera(1, RGB, place=1, indoor=True),
    Camera(2, RGB, place=2, indoor=True),
    Camera(3, IR, place=2, indoor=True),
    Camera(4, RGB, place=4, indoor=False),
    Camera(5, RGB, place=5, indoor=False),
    Camera(6, IR, place=6, indoor=False),
)
REGDB_CAMERAS = (Camera(1, RGB, place=1, indoor=False), Camera(2, IR, place=1, indoor=False))  # one double camera
LLCM_CAMERAS = (
    *(Camera(number, RGB, place=number, indoor=False) for number in range(1, 10)),
    *(Camera(number, IR, place=number, indoor=False) for number in (1, 2, 4, 5, 6, 7, 8, 9)),
)


def plan_sysu_mm01(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`camC/IIII/NNNN.jpg`, `exp/{train,val,test}_id.txt`, `exp/rand_perm_cam.mat`.

    The last fifth of the identities is for testing, the last quarter of the others for validation (official: 99 of 395).
    """
    plan = last_fifth(num_ids)
    num_val = plan.num_train_ids // 4
    ids = ids_of(num_ids)
    for name, part in (
        ("train", ids[: plan.num_train_ids - num_val]),
        ("val", ids[plan.num_train_ids - num_val : plan.num_train_ids]),
        ("test", ids[plan.num_train_ids :]),
    ):
        plan.files[f"exp/{name}_id.txt"] = _line(part)
    plan.files["exp/rand_perm_cam.mat"] = _permutation_file(num_ids, images_per_camera, seed)
    for camera in SYSU_CAMERAS:
        for pid in ids:
            for number in numbers(images_per_camera):
                plan.images.append(ImageSpec(f"cam{camera.number}/{pid:04d}/{number:04d}.jpg", pid, camera, number))
    return plan


def plan_regdb(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`{Visible,Thermal}/I/NNNN.jpg`, `idx/{train,test}_{visible,thermal}_{1..10}.txt`.

    Each split trains on a random half of the identities and tests on the other half, as in the official splits. Labels
    start at 0 in each list and are the same for both modalities. The official images are BMP files.
    """
    plan = Plan(num_train_ids=num_ids // 2, num_test_ids=num_ids - num_ids // 2)
    folders = {RGB: "Visible", IR: "Thermal"}
    for camera in REGDB_CAMERAS:
        for pid in ids_of(num_ids):
            for number in numbers(images_per_camera):
                path = f"{folders[camera.modality]}/{pid}/{number:04d}.jpg"
                plan.images.append(ImageSpec(path, pid, camera, number))
    rng = np.random.default_rng([seed, num_ids, NUM_SPLITS])
    for split in range(1, NUM_SPLITS + 1):
        order = (rng.permutation(num_ids) + 1).tolist()
        for part, ids in (("train", order[: plan.num_train_ids]), ("test", order[plan.num_train_ids :])):
            label_of = {pid: label for label, pid in enumerate(sorted(ids))}
            for modality, folder in folders.items():
                chosen = (p for p in plan.images if p.camera.modality == modality and p.pid in label_of)
                plan.files[f"idx/{part}_{folder.lower()}_{split}.txt"] = _list(chosen, label_of)
    return plan


def plan_llcm(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`{vis,nir}/IIII/*.jpg` to train, `test_{vis,nir}/camC/IIII/*.jpg` to test, `idx/{train_vis,train_nir,test_id}.txt`.

    The last fifth of the identities is for testing. Camera 3 has no infrared images, as in the official data set.
    """
    plan = last_fifth(num_ids)
    train_ids = range(1, plan.num_train_ids + 1)
    for camera in LLCM_CAMERAS:
        word = llcm.NAMES[camera.modality]
        for pid in ids_of(num_ids):
            folder = f"{word}/{pid:04d}" if pid in train_ids else f"test_{word}/cam{camera.number}/{pid:04d}"
            for number in numbers(images_per_camera):
                # identity, camera, second and frame of the video, modality
                name = f"{pid:04d}_c{camera.number:02d}_s{number:06d}_f{number:04d}_{word}.jpg"
                plan.images.append(ImageSpec(f"{folder}/{name}", pid, camera, number))
    label_of = {pid: label for label, pid in enumerate(train_ids)}
    for modality, word in llcm.NAMES.items():
        chosen = (p for p in plan.images if p.camera.modality == modality and p.pid in label_of)
        plan.files[f"idx/train_{word}.txt"] = _list(sorted(chosen), label_of)
    plan.files["idx/test_id.txt"] = _line(ids_of(num_ids)[plan.num_train_ids :])
    return plan


def plan_folder(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`{train,test}/{rgb,ir}/IIII/cC_NNNN.jpg`, seen by SYSU-MM01's six cameras; the last fifth is for testing."""
    plan = last_fifth(num_ids)
    for camera in SYSU_CAMERAS:
        for pid in ids_of(num_ids):
            part = "train" if pid <= plan.num_train_ids else "test"
            for number in numbers(images_per_camera):
                path = f"{part}/{NAMES[camera.modality]}/{pid:04d}/c{camera.number}_{number:04d}.jpg"
                plan.images.append(ImageSpec(path, pid, camera, number))
    return plan


LAYOUTS: dict[str, Callable[[int, int, int], Plan]] = {
    "sysu_mm01": plan_sysu_mm01,
    "regdb": plan_regdb,
    "llcm": plan_llcm,
    "folder": plan_folder,
    "rgbnt100": spectral_layouts.plan_rgbnt100,
    "rgbn300": spectral_layouts.plan_rgbn300,
    "msvr310": spectral_layouts.plan_msvr310,
    "rgbnt201": spectral_layouts.plan_rgbnt201,
    "hitsz_vcm": track_layouts.plan_hitsz_vcm,
    "bupt_campus": track_layouts.plan_bupt_campus,
}


def _line(ids: Iterable[int]) -> bytes:
    return (",".join(map(str, ids)) + "\n").encode()


def _list(images: Iterable[ImageSpec], label_of: dict[int, int]) -> bytes:
    return "".join(f"{image.path} {label_of[image.pid]}\n" for image in images).encode()


def _permutation_file(num_ids: int, images: int, seed: int) -> bytes:
    # `rand_perm_cam`: cell (c - 1, 0) contains cells (i - 1, 0), each a (trials, images) table of permutations of 1..images.
    rng = np.random.default_rng([seed, num_ids, images])
    number_type = np.uint8 if images <= np.iinfo(np.uint8).max else np.uint16
    cameras = np.empty((len(SYSU_CAMERAS), 1), dtype=object)
    for row in range(len(SYSU_CAMERAS)):
        cells = np.empty((num_ids, 1), dtype=object)
        for i in range(num_ids):
            table = np.tile(np.arange(1, images + 1, dtype=number_type), (NUM_TRIALS, 1))  # (trials, images)
            cells[i, 0] = rng.permuted(table, axis=1)
        cameras[row, 0] = cells
    buffer = io.BytesIO()
    savemat(buffer, {"rand_perm_cam": cameras}, do_compression=True)
    # The first 116 bytes are a description with the date: a fixed text makes the file depend on the seed alone.
    return b"MATLAB 5.0 MAT-file, synthetic".ljust(116) + buffer.getvalue()[116:]
