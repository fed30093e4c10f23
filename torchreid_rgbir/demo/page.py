"""The page itself: its parts, what happens when they change, and the server. It is built with gradio."""

import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torchreid_rgbir.demo import render
from torchreid_rgbir.demo.answers import Answers, Upload
from torchreid_rgbir.extras import require
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.retrieval.reference_table import Filter

require("demo", "gradio")
UPLOADS = tempfile.TemporaryDirectory(prefix="torchreid-rgbir-demo-")  # deleted when the process ends
# gradio reads these when it is imported.
os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": UPLOADS.name}
import gradio as gr  # noqa: E402

TITLE = "RGB-IR re-identification"
MAX_FILE = "32mb"  # of an upload; `read_image` limits the number of its pixels
DELETE = (5, 60)  # every 5 s, gradio deletes the files of uploads that are older than 60 s
PARALLEL = 2  # images that are computed at a time; the others wait, so that memory suffices for many large uploads
MAX_CHOICES = 1000  # categories in the list of the filter; further ones can be typed
SESSION = 3600  # seconds after which the server forgets the image of a page that is not used
LOOPBACK = ("127.0.0.1", "localhost")
# Fonts of the visitor's system, so that the page fetches none.
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def build_page(answers: Answers) -> gr.Blocks:
    """Lays out the page and connects its parts to the answers."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=DELETE) as page:
        gr.Markdown(f"# {TITLE}")
        with gr.Tab("Identify"):
            _identify_tab(answers)
        with gr.Tab("Compare two images"):
            _compare_tab(answers)
    return page.queue(api_open=False)


def _identify_tab(answers: Answers) -> None:
    rows = answers.rows
    categories = sorted(set(rows.categories))
    cameras = sorted(set(rows.cameras.tolist()) - {0})
    has_times = bool((rows.times == rows.times).any())  # an unknown time does not equal itself
    with gr.Row():
        with gr.Column(min_width=300):
            file, modality = _image_input("The image", NAMES[answers.modality == "rgb"])
            with gr.Accordion("Filter the references", open=False):
                category = gr.Dropdown(
                    categories[:MAX_CHOICES], label="Category", multiselect=True, value=[], allow_custom_value=True
                )
                camera = gr.Dropdown(cameras, label="Camera", multiselect=True, value=[], visible=bool(cameras))
                since, until = (
                    gr.DateTime(label=f"{text} (UTC)", type="datetime", timezone="UTC", visible=has_times)
                    for text in ("From", "Until")
                )
            show_maps = gr.Button("Show activation maps")
        with gr.Column(min_width=300, scale=2):
            maps = gr.HTML()
            output = gr.HTML(render.start(answers))
    upload = gr.State(None, time_to_live=SESSION)
    choices: list[Any] = [modality, category, camera, since, until]
    settings = [upload, *choices]

    def answer(upload: Upload | None, modality: str, *chosen: Any) -> str:
        if upload is None:
            return render.start(answers)
        return render.ranked(answers, upload, modality, answers.identify(upload, modality, Filter(*chosen)))

    def draw(upload: Upload | None, modality: str, *chosen: Any) -> str:
        if upload is None:
            raise ValueError("there is no image yet: choose one first")
        best = answers.identify(upload, modality, Filter(*chosen)).matches[0]
        return render.activation(answers.activation(upload, modality, best), best)

    def received(data: bytes, _: None, *others: Any) -> tuple[None, Upload, str, str]:
        upload = answers.read(data)
        return None, upload, "", answer(upload, *others)

    def changed(*values: Any) -> tuple[str, str]:
        return "", answer(*values)

    _on(file.upload, received, [file, *settings], [file, upload, maps, output])
    for part in choices:
        _on(part.change, changed, settings, [maps, output])
    _on(show_maps.click, draw, settings, [maps])


def _compare_tab(answers: Answers) -> None:
    with gr.Row():
        with gr.Column(min_width=300):
            inputs = [_image_input(f"Image {number + 1}", NAMES[number]) for number in range(2)]
        with gr.Column(min_width=300, scale=2):
            output = gr.HTML(render.hint("Choose two images. The page compares them."))
    uploads = [gr.State(None, time_to_live=SESSION) for _ in inputs]
    modalities = [modality for _, modality in inputs]

    def answer(first: Upload | None, second: Upload | None, *modalities: str) -> str:
        if first is None or second is None:
            return render.hint("Choose the other image too.")
        score = answers.compare(first, modalities[0], second, modalities[1])
        return render.compared(answers, [(first, modalities[0]), (second, modalities[1])], score)

    for number, (file, modality) in enumerate(inputs):

        def received(data: bytes, *values: Any, number: int = number) -> tuple[None, Upload, str]:
            uploaded = answers.read(data)
            pair = [*values[:2]]
            pair[number] = uploaded
            return None, uploaded, answer(pair[0], pair[1], *values[2:])

        _on(file.upload, received, [file, *uploads, *modalities], [file, uploads[number], output])
        _on(modality.change, answer, [*uploads, *modalities], [output])


def _image_input(label: str, modality: str) -> tuple[gr.File, gr.Radio]:
    file = gr.File(label=label, type="binary", height=150)
    names = [("color (RGB)", "rgb"), ("infrared (IR)", "ir")]
    return file, gr.Radio(names, value=modality, label=f"Modality of {label.lower()}")


def _on(event: Callable, function: Callable, inputs: list, outputs: list) -> None:
    """Calls a function at an event. An error is shown in the last output, and empties the others except the state."""

    def reported(*values: Any) -> Any:
        try:
            return function(*values)
        except (OSError, ValueError) as error:
            kept = [gr.skip() if isinstance(part, gr.State) else None for part in outputs[:-1]]
            return (*kept, render.problem(str(error))) if kept else render.problem(str(error))

    event(
        reported,
        inputs,
        outputs,
        concurrency_limit=PARALLEL,
        concurrency_id="model",
        api_visibility="private",
        show_progress="minimal",
    )


def free_port(host: str, port: int) -> int:
    """Checks that a port is free. With 0, returns any free port.

    Raises:
        ValueError: the port is in use or not allowed, or the host is not an address of this machine.
    """
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            f"the page cannot use port {port} of {host} ({reason}): choose a different --port (0: any free one) or --host"
        ) from None


def serve(answers: Answers, host: str, port: int, login: tuple[str, str] | None) -> None:
    """Shows the page until Ctrl-C or SIGTERM.

    Args:
        host, port: the address. The port is free.
        login: user and password, or None if everyone who reaches the address may use the page.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `UPLOADS` is deleted then too
    page = build_page(answers)
    page.launch(
        server_name=host,
        server_port=port,
        auth=login,
        auth_message=f"{TITLE}: sign in" if login else None,
        max_file_size=MAX_FILE,
        theme=THEME,
        css_paths=Path(__file__).with_name("page.css"),
        footer_links=[],
        quiet=True,
        prevent_thread_lock=True,
        # Environment variables could switch these on.
        share=False,
        ssr_mode=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
    )
    try:
        print(f"open http://{host}:{port} in a browser; Ctrl-C ends the demo", flush=True)
        threading.Event().wait()
    except KeyboardInterrupt:
        pass
    finally:
        page.close(verbose=False)
        UPLOADS.cleanup()
