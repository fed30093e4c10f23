"""What the device of a training can do: half precision and compilation."""

import logging
import platform

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


def compile_works(device: torch.device) -> bool:
    """Tries torch.compile on one operation. Warns when it fails, for example because there is no C compiler."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # the compiler may raise anything
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.warning("train.compile: torch.compile does not work here (%s), the model is not compiled", reason)
        return False
    return True
