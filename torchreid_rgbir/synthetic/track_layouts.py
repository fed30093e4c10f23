"""The files of synthetic data sets of tracks, in the layouts of HITSZ-VCM and BUPTCampus.

Source: the data sets' names of folders, files and lists, as their authors' code reads them.
"""

import json

from torchreid_rgbir.data.hitsz_vcm import MIN_FRAMES
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.synthetic.plan import ImageSpec, Plan, as_lines, ids_of, last_fifth, numbers
from torchreid_rgbir.synthetic.scenes import Camera

HITSZ_CAMERAS = tuple(Camera(number, RGB if number < 3 else IR, place=number, indoor=False) for number in range(1, 5))
BUPT_CAMERAS = {"LS3": 1, "G25": 2, "CQ1": 3}


def plan_hitsz_vcm(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`IIII/{ir,rgb}/DC/N.jpg` and five lists in `info/`. Each identity has one track in each of four cameras.

    The last fifth of the identities is for testing. `images_per_camera` is the number of frames of a track.

    Raises:
        ValueError: the tracks would be shorter than those that training and test use.
    """
    if images_per_camera < MIN_FRAMES:
        raise ValueError(
            f"{images_per_camera} images per identity and camera are a track of {images_per_camera} frames, but HITSZ-VCM's "
            f"code skips tracks of fewer than {MIN_FRAMES}: give --images {MIN_FRAMES} or more"
        )
    plan = last_fifth(num_ids)
    for subset, ids in (
        ("train", ids_of(num_ids)[: plan.num_train_ids]),
        ("test", ids_of(num_ids)[plan.num_train_ids :]),
    ):
        names: list[str] = []
        tracks: list[tuple[int, ...]] = []
        for pid in ids:
            for camera in HITSZ_CAMERAS:
                code, folder = (1, "ir") if camera.modality == IR else (2, "rgb")
                first = len(names) + 1
                for number in numbers(images_per_camera):
                    names.append(f"{pid:04d}M{code}D{camera.number}T1F{number}.jpg")
                    path = f"{pid:04d}/{folder}/D{camera.number}/{number}.jpg"
                    plan.images.append(ImageSpec(path, pid, camera, number))
                tracks.append((code, first, len(names), pid, camera.number))
        plan.files[f"info/{subset}_name.txt"] = as_lines(names)
        plan.files[f"info/track_{subset}_info.txt"] = as_lines(" ".join(map(str, track)) for track in tracks)
    queries = [number for number, (code, *_) in enumerate(tracks, start=1) if code == 1]
    plan.files["info/query_IDX.txt"] = as_lines([" ".join(map(str, queries))])
    return plan


def plan_bupt_campus(num_ids: int, images_per_camera: int, seed: int) -> Plan:
    """`DATA/I/{RGB,IR}/CAMERA/I_RGB_CAMERA_1_N.jpg`, `data_paths.json` and three lists, with one track per camera and modality.

    The last fifth of the identities is for testing; the tracks of camera LS3 are the queries. `images_per_camera` is the number
    of frames of a track.
    """
    plan = last_fifth(num_ids)
    paths: dict[str, dict] = {}
    lists: dict[str, list[str]] = {"train": [], "query": [], "gallery": []}
    for pid in ids_of(num_ids):
        for name, number in BUPT_CAMERAS.items():
            for modality, word in ((RGB, "RGB"), (IR, "IR")):
                camera = Camera(number, modality, place=number, indoor=False)
                files = [f"{pid}/{word}/{name}/{pid}_{word}_{name}_1_{n}.jpg" for n in numbers(images_per_camera)]
                plan.images += [ImageSpec(f"DATA/{file}", pid, camera, n) for n, file in enumerate(files, start=1)]
                paths.setdefault(str(pid), {}).setdefault(word, {})[name] = {"1": files}
                if pid > plan.num_train_ids:
                    lists["query" if name == "LS3" else "gallery"].append(f"{pid} {word} {name} 1")
            if pid <= plan.num_train_ids:
                lists["train"].append(f"{pid} RGB/IR {name} 1")
    plan.files["data_paths.json"] = json.dumps(paths).encode()
    plan.files |= {f"{name}.txt": as_lines(lines) for name, lines in lists.items()}
    return plan
