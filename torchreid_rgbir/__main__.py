"""`python -m torchreid_rgbir COMMAND ...`, the same as `torchreid-rgbir COMMAND ...`."""

import sys

from torchreid_rgbir.cli import main

sys.exit(main())
