"""Evaluation protocols, one per module: how galleries are drawn, and which gallery images a query ignores."""

from torchreid_rgbir.protocols import llcm, regdb, standard, sysu_mm01
from torchreid_rgbir.protocols.both_directions import BothDirectionsProtocol, BUPTCampusProtocol, MSVR310Protocol
from torchreid_rgbir.protocols.llcm import LLCMProtocol
from torchreid_rgbir.protocols.protocol import Protocol
from torchreid_rgbir.protocols.regdb import RegDBProtocol
from torchreid_rgbir.protocols.standard import StandardProtocol
from torchreid_rgbir.protocols.sysu_mm01 import SYSUMM01Protocol

__all__ = [
    "BUPTCampusProtocol",
    "BothDirectionsProtocol",
    "LLCMProtocol",
    "MSVR310Protocol",
    "Protocol",
    "RegDBProtocol",
    "SYSUMM01Protocol",
    "StandardProtocol",
    "llcm",
    "regdb",
    "standard",
    "sysu_mm01",
]
