"""What the device of a training can do: half precision and compilation."""

import logging

import torch

logger = logging.getLogger(__name__)

DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast_dtype(amp: str, device: torch.device) -> torch.dtype | None:
    """The type that autocast computes in, or None for full precision. Warns when the device lacks the requested type.

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
        return torch.bfloat16
    return DTYPES[amp]


def compile_works(device: torch.device) -> bool:
    """Tries torch.compile on one operation. Warns when it fails, for example because there is no C compiler."""
    try:
        torch.compile(torch.sin)(torch.ones(8, device=device))
    except Exception as error:  # the compiler may raise anything
        reason = str(error).strip().partition("\n")[0] or repr(error)
        logger.warning("train.compile: torch.compile does not work here (%s), the model is not compiled", reason)
        return False
    return True
