"""`python -m torchreid_rgbir COMMAND ...` is the same as `torchreid-rgbir COMMAND ...`."""

import sys

from torchreid_rgbir.cli import main

sys.exit(main())
