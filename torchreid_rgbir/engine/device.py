"""What the device of a training can do: half precision and compilation."""

import logging
import platform
from collections.abc import Callable
from typing import Any

import torch

logger = logging.getLogger(__name__)

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_dtype(amp: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast computes in, or None for full precision. Warns when the device lacks the requested type or
    is slow with it.

    Raises:
        ValueError: `amp` is not a name in `DTYPES`.
    """
    if amp not in DTYPES:
        raise ValueError(f"train.amp is {amp!r}: choose from {', '.join(DTYPES)}")
    if amp == "bf16" and device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        logger.warning("train.amp bf16: %s has no bfloat16, fp16 is used instead", torch.cuda.get_device_name(device))
        return torch.float16
    if amp == "fp16" and device.type == "cpu":
        logger.warning("train.amp fp16: a CPU has no fast float16, bf16 is used instead")
        amp = "bf16"
    if amp == "bf16" and device.type == "cpu" and (reason := _why_bf16_is_slow()):
        logger.warning("train.amp bf16: %s, so a step may take longer than without it: set train.amp off", reason)
    return DTYPES[amp]


def _why_bf16_is_slow() -> str:
    """Why this processor is slow with bf16 (measurements: docs/performance.md), or "" if that is not known."""
    # These functions are private, and some versions of torch lack them. They know x86 processors only.
    has_amx = getattr(torch.cpu, "_is_amx_tile_supported", None)
    has_avx512 = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    if platform.machine() not in ("x86_64", "AMD64") or has_amx is None or has_avx512 is None or has_amx():
        return ""
    return "this processor has AVX512-BF16 but not AMX" if has_avx512() else "this processor has no bf16 instructions"


def compile_step(forward: Callable[..., Any], has_cuda_graphs: bool) -> Callable[..., Any]:
    """Compiles the forward pass of a training step, with its losses and its backward pass, for batches of one size.

    A batch of a different size, or with a different number of RGB images, is compiled again.

    Args:
        forward: called with the tensors of a batch, returns dicts of scalars.
        has_cuda_graphs: capture it in CUDA graphs. They reuse the memory of the last step, also that of its gradients.

    Returns:
        A function that is called as `forward`. It raises a ValueError if torch cannot compile the step.
    """
    compiled = torch.compile(forward, dynamic=False, mode="reduce-overhead" if has_cuda_graphs else None)

    def run(*batch: Any) -> Any:
        if has_cuda_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        try:
            results = compiled(*batch)
        except torch._dynamo.exc.TorchDynamoException as error:
            raise ValueError(
                f"train.compile step: torch cannot compile the training step ({_first_line(error)}): set train.compile True, "
                "which compiles the backbone only, or False"
            ) from error
        if not has_cuda_graphs:
            return results
        # The caller may keep these values, and the next step overwrites the memory of graphs.
        return tuple({name: value.clone() for name, value in values.items()} for values in results)

    return run


def compile_works(device: torch.device) -> bool:
    """Tries torch.compile on one operation. Warns when it fails, for example because there is no C compiler."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # the compiler may raise anything
        reason = _first_line(error)
        logger.warning("train.compile: torch.compile does not work here (%s), the model is not compiled", reason)
        return False
    return True


def _first_line(error: Exception) -> str:
    """The first line of what a compiler raised, which torch wraps in an error of its own."""
    error = getattr(error, "inner_exception", error)
    return str(error).strip().partition("\n")[0] or repr(error)
