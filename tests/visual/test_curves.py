import numpy as np
import pytest
from torch.utils.tensorboard import SummaryWriter

from torchreid_rgbir.visual.curves import LEGEND, PANEL, _over_epochs, draw_curves, draw_methods, read_curves
from torchreid_rgbir.visual.figure import WIDTH


def write(folder, suffix, tag, points):
    with SummaryWriter(folder, filename_suffix=suffix) as writer:
        for step, value in points.items():
            writer.add_scalar(tag, value, step)


def test_a_resumed_runs_files_are_joined_and_the_later_counts(tmp_path, monkeypatch):
    for time, points in ((1000, {0: 4.0, 1: 3.0, 2: 2.5}), (2000, {2: 2.0, 3: 1.0})):
        monkeypatch.setattr("time.time", lambda time=time: time)
        write(tmp_path, "", "Train/loss", points)
    assert len(list(tmp_path.iterdir())) == 2
    assert list(read_curves(tmp_path)["Train/loss"].items()) == [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)]


def test_every_point_is_read(tmp_path):
    write(tmp_path, "", "Train/acc", {step: step for step in range(12000)})  # TensorBoard itself would show 10 000
    assert len(read_curves(tmp_path)["Train/acc"]) == 12000


def test_a_folder_without_event_files_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="contains no training curves"):
        read_curves(tmp_path)


@pytest.mark.parametrize(
    ("tags", "panels"), [(["Train/loss"], 1), (["Train/loss", "Train/loss_id", "Train/lr", "Test/sysu_mm01/mAP"], 3)]
)
def test_a_panel_for_each_kind(tags, panels):
    picture = draw_curves({tag: {0: 0.2 + i, 10: 0.8 + i} for i, tag in enumerate(tags)})
    assert picture.size == (WIDTH, panels * PANEL)
    panel = np.asarray(picture)[:PANEL]
    blue = (np.abs(panel.astype(int) - (31, 119, 180)).sum(axis=2) < 30).sum()
    assert blue > WIDTH  # the curve crosses the panel


def test_methods_are_drawn_over_the_epochs():
    curves = {"Train/loss": {9: 5.0, 19: 3.0}, "Test/sysu_mm01/mAP": {1: 0.2, 2: 0.5}}
    better = {"Train/loss": {9: 4.0, 19: 1.0}, "Test/sysu_mm01/mAP": {1: 0.4, 2: 0.9}}
    one = np.asarray(draw_methods({"mso": [curves]}))
    two = np.asarray(draw_methods({"mso": [curves], "id": [better]}))
    assert one.shape == (2 * PANEL + LEGEND, WIDTH, 3) and two.shape == (2 * PANEL + 2 * LEGEND, WIDTH, 3)
    long = np.asarray(draw_methods({"mso train.lr 0.005 " * 10: [curves]}))  # a name in three lines
    assert long.shape == (2 * PANEL + 3 * LEGEND, WIDTH, 3) and (long[2 * PANEL :, :2] == 255).all()
    orange = np.abs(two.astype(int) - (255, 127, 14)).sum(axis=2) < 30  # the second line's color
    assert orange[:PANEL].any() and orange[PANEL:].any()
    assert not (np.abs(one.astype(int) - (255, 127, 14)).sum(axis=2) < 30).any()


def test_a_line_is_the_mean_of_the_seeds_where_all_have_a_value():
    steps, values = _over_epochs([{1: 0.2, 2: 0.4, 3: 0.5}, {1: 0.4, 2: 0.8}])
    assert steps.tolist() == [1, 2] and values.mean(axis=0).tolist() == pytest.approx([0.3, 0.6])
