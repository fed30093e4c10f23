"""Show a local web page that identifies images against references and compares two images.

The address of the page is 127.0.0.1, which only this machine can reach. A different --host requires --user and --password-file.
The page needs the extra `demo`: pip install 'torchreid-rgbir[demo]'.
"""

import argparse
from pathlib import Path

from torchreid_rgbir.commands import arguments
from torchreid_rgbir.extras import require

EXAMPLE = "torchreid-rgbir demo --weights model-best.pth.tar --reference photos/rgb --reference-modality rgb"
PASSWORD_LENGTH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    arguments.add_model_arguments(parser)
    arguments.add_reference_arguments(parser)
    add(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="show images whose best score is below SCORE as unknown (default: the threshold stored in the gallery, or none)",
    )
    add("--host", default="127.0.0.1", help="the address of the page (default: %(default)s)")
    add(
        "--port",
        type=int,
        default=7860,
        metavar="N",
        help="the port of the page; 0 selects any free port (default: %(default)s)",
    )
    add("--user", metavar="NAME", help="visitors must enter this name and the password")
    add("--password-file", metavar="FILE", help="a file whose first line is the password, at least 8 characters")


def run(args: argparse.Namespace) -> int:
    require("demo", "gradio")
    from torchreid_rgbir.demo.answers import Answers
    from torchreid_rgbir.demo.page import LOOPBACK, free_port, serve
    from torchreid_rgbir.retrieval.gallery import Gallery
    from torchreid_rgbir.retrieval.identify import open_references

    arguments.check_threshold(args.threshold)
    login = read_login(args)
    if login is None and args.host not in LOOPBACK:
        raise ValueError(
            f"--host {args.host} can be reached from other machines: add --user NAME and --password-file FILE"
        )
    port = free_port(args.host, args.port)  # fails before the model is loaded
    extractor = arguments.load_extractor(args)
    references = open_references(args.reference, extractor, args.reference_modality, args.batch_size)
    if isinstance(references, Gallery):
        about = references.about
        calibrated = args.threshold is None
        threshold = about.threshold if calibrated else args.threshold
        rate = about.false_match_rate if calibrated else None
        answers = Answers(extractor, references, about.modality, threshold, rate)
    else:
        answers = Answers(extractor, references, args.reference_modality, args.threshold)
    serve(answers, args.host, port, login)
    return 0


def read_login(args: argparse.Namespace) -> tuple[str, str] | None:
    """Returns user and password, or None if there are none.

    Raises:
        FileNotFoundError: the file with the password is missing.
        ValueError: only one of the two is given, or the password is too short.
    """
    if not args.user and not args.password_file:
        return None
    if not args.user or not args.password_file:
        raise ValueError("--user and --password-file belong together: give both")
    path = Path(args.password_file).expanduser()
    password = (path.read_text(encoding="utf-8").splitlines() or [""])[0]
    if len(password) < PASSWORD_LENGTH:
        raise ValueError(f"{path}: the first line has {len(password)} characters: use at least {PASSWORD_LENGTH}")
    return args.user, password
