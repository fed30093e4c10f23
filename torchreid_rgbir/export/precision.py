"""Smaller ONNX graphs: weights in half precision, or integers of 8 bits that are calibrated on images."""

import logging
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from torchreid_rgbir.extras import require


def convert(source: Path, target: Path, precision: str, batches: Iterable[np.ndarray] = ()) -> None:
    """Writes an ONNX graph in a different precision. Its inputs and outputs remain float32.

    For int8, the convolutions are quantized with ONNX Runtime's static quantization: weights per channel, activations with
    the range that they have on the calibration images.

    Args:
        source: the float32 graph with the input `images`.
        target: the file to write.
        precision: "fp32" (the graph is copied), "fp16" or "int8".
        batches: (B, 3, H, W) prepared calibration images, for int8.

    Raises:
        ValueError: an extra is not installed, or int8 has no calibration images.
    """
    require("export", "onnx", "onnxruntime")
    import onnx

    if precision == "fp32":
        target.write_bytes(source.read_bytes())
    elif precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(source), keep_io_types=True), target)
    else:
        _quantize(source, target, list(batches))


def _quantize(source: Path, target: Path, batches: list[np.ndarray]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quant_pre_process, quantize_static

    if not batches:
        raise ValueError("int8 needs calibration images of the training set: give its folder with --root")

    class Batches(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(self.left, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")
        # The symbolic inference of shapes fails on the dynamic batch of generalized-mean pooling, and nothing here needs it.
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        root, level = logging.getLogger(), logging.getLogger().level
        root.setLevel(logging.ERROR)  # it advises the preparation that has been done
        try:
            quantize_static(
                prepared,
                target,
                Batches(),
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["Conv"],
            )
        finally:
            root.setLevel(level)
