"""The page in a real browser, Debian's chromium, and the mistakes that the command reports in one line."""

import base64
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.retrieval.identify import identify, open_references

CHROMIUM = Path("/usr/bin/chromium")
pytest.importorskip("gradio")
IN_BROWSER = pytest.mark.skipif(not CHROMIUM.exists(), reason="no browser: apt-get install chromium")
pytestmark = pytest.mark.slow


@contextmanager
def serving(folder, *flags, stop=signal.SIGINT):
    """Runs the command with its temporary files in `folder` and yields the address of the page."""
    program = [sys.executable, Path(__file__).with_name("serving.py"), folder / "addresses", *flags, "--port", "0"]
    environment = {**os.environ, "TMPDIR": str(folder), "GRADIO_SHARE": "True", "GRADIO_SERVER_NAME": "0.0.0.0"}
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(
            list(map(str, program)), stdout=subprocess.PIPE, stderr=log, env=environment, text=True, cwd=folder
        )
    try:
        line = process.stdout.readline()
        assert line.startswith("open http://127.0.0.1:"), (folder / "log").read_text()
        yield line.split()[1]
    finally:
        process.send_signal(stop)
        assert process.wait(timeout=120) == 0
        process.stdout.close()
    assert "Traceback" not in (folder / "log").read_text()


@pytest.fixture(scope="module")
def flags(weights, photos):
    return ["--weights", weights, "--reference", photos / "rgb", "--reference-modality", "rgb"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(folder, flags):
    with serving(folder, *flags) as address:
        yield address
    assert sorted(path.name for path in folder.iterdir()) == ["addresses", "log"]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser):
    """Opens a page at a width. Afterwards there is no console error and no request to another host."""
    with ExitStack() as stack:

        def open_page(address, width=1280):
            page = stack.enter_context(browser.new_context(viewport={"width": width, "height": 844})).new_page()
            page.problems = []
            page.on("console", lambda line: page.problems.append(line.text) if line.type == "error" else None)
            page.on("pageerror", lambda error: page.problems.append(str(error)))
            page.on("request", lambda sent: page.problems.append(sent.url) if outside(sent.url, address) else None)
            page.goto(address)
            page.wait_for_selector(".hint")
            stack.callback(lambda: page.problems and pytest.fail(f"{page.problems}"))
            return page

        yield open_page


def outside(url, address):
    return urlsplit(url).scheme not in ("data", "blob") and urlsplit(url).netloc != urlsplit(address).netloc


def choose(page, path, number=0):
    page.locator("input[type=file]").nth(number).set_input_files(path)


def drop(page, path):
    content = base64.b64encode(Path(path).read_bytes()).decode()
    make = "data => { const all = new DataTransfer(); const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));"
    make += "all.items.add(new File([bytes], 'night.jpg', {type: 'image/jpeg'})); return all }"
    target = page.locator("button[aria-label='Click to upload or drop files']").first
    target.dispatch_event("drop", {"dataTransfer": page.evaluate_handle(make, content)})


@pytest.fixture(scope="module")
def expected(extractor, photos):
    """The paths of infrared images and the ranked categories of `identify`."""
    paths = sorted(map(str, (photos / "ir").rglob("*.jpg")))
    answers = identify(extractor(paths, "ir"), open_references(str(photos / "rgb"), extractor, "rgb"), topk=12)
    return paths, [[match.category for match in answer.matches] for answer in answers]


def shown_categories(page):
    return [re.sub(r"^\d+\. ", "", text) for text in page.locator(".ranked strong").all_inner_texts()]


@IN_BROWSER
@pytest.mark.parametrize("width", [1280, 390])
def test_a_dropped_image_gets_the_answer_of_identify(visit, address, expected, tmp_path, width):
    paths, categories = expected
    page = visit(address, width)
    drop(page, paths[0])
    page.wait_for_selector(".ranked")
    assert shown_categories(page) == categories[0]
    assert page.locator(".verdict h2").inner_text() == categories[0][0]
    assert all(page.locator(".ranked img").evaluate_all("all => all.map(one => one.naturalWidth > 0)"))
    page.get_by_text("Show activation maps").click()
    page.wait_for_selector(".activation img")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    sizes = page.locator(".verdict p, .ranked li").evaluate_all(
        "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 16
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert np.asarray(Image.open(tmp_path / "page.png").convert("RGB")).std() > 10


@IN_BROWSER
def test_the_keyboard_alone_chooses_an_image_a_modality_and_a_filter(visit, address, expected):
    paths, categories = expected
    page = visit(address)

    def tab_to(wanted):
        for _ in range(20):
            page.keyboard.press("Tab")
            found = page.evaluate(
                "document.activeElement.ariaLabel || document.activeElement.value || document.activeElement.innerText"
            )
            if wanted in (found or ""):
                return
        pytest.fail(f"Tab does not reach {wanted}")

    tab_to("Click to upload or drop files")
    chosen = []
    page.on("filechooser", lambda chooser: chosen.append(chooser))
    for _ in range(30):  # the button is there before it answers
        page.keyboard.press("Enter")
        page.wait_for_timeout(1000)
        if chosen:
            break
    chosen[0].set_files(paths[1])
    page.wait_for_selector(".ranked")
    assert shown_categories(page) == categories[1]
    tab_to("rgb")
    page.keyboard.press("Space")
    page.wait_for_selector(".note")  # RGB with RGB
    tab_to("Filter the references")
    page.keyboard.press("Enter")
    page.get_by_label("Category").wait_for()
    tab_to("Category")
    page.keyboard.type(categories[1][-1])
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelectorAll('.ranked li').length == 1")
    assert shown_categories(page) == categories[1][-1:]


@IN_BROWSER
def test_references_are_filtered_by_time_and_camera(visit, weights, photos, tmp_path):
    days = sorted((photos / "rgb").rglob("*.jpg"))
    lines = [f"{path},{path.parent.name},{i % 2 + 1},2026-05-31T{i % 24:02}:00+00:00" for i, path in enumerate(days)]
    (tmp_path / "table.csv").write_text("path,category,camera,time\n" + "\n".join(lines))
    flags = ["--weights", weights, "--reference", tmp_path / "table.csv", "--reference-modality", "rgb"]
    with serving(tmp_path, *flags) as address:
        page = visit(address)
        choose(page, min((photos / "ir").rglob("*.jpg")))
        page.wait_for_selector(".ranked")
        page.get_by_text("Filter the references").click()
        page.get_by_placeholder("YYYY-MM-DD HH:MM:SS").first.fill("2026-05-31 23:00:00")
        page.keyboard.press("Enter")
        page.wait_for_function("document.querySelectorAll('.ranked li').length == 1")
        assert shown_categories(page) == [days[23].parent.name]
        assert "2026-05-31 23:00 UTC" in page.locator(".ranked").inner_text()
        page.get_by_label("Camera").fill("1")  # the image of 23:00 is of camera 2
        page.keyboard.press("Enter")
        page.wait_for_selector(".problem:has-text('the filter excludes everything')")


@IN_BROWSER
def test_two_images_are_compared(visit, address, photos):
    page = visit(address, 390)
    day = min((photos / "rgb").rglob("*.jpg"))
    page.get_by_role("tab", name="Compare two images").click()
    for number in (0, 1):
        choose(page, day, 1 + number)
        page.wait_for_selector(("text=Choose the other image too", ".verdict")[number])
    page.get_by_role("radio", name="color").last.check()
    page.wait_for_selector("text=Score 1.000")
    page.wait_for_selector(".note", timeout=60000)


@IN_BROWSER
def test_what_is_not_an_image_is_reported_in_one_line(visit, address, tmp_path):
    (tmp_path / "notes.txt").write_text("a text")
    Image.new("1", (20_000, 15_000)).save(tmp_path / "huge.png")
    page = visit(address)
    for name, reason in (("notes.txt", "it is not an image"), ("huge.png", "more than the 67108864 pixels")):
        choose(page, tmp_path / name)
        page.wait_for_selector(f".problem:has-text('{reason}')")
        assert "choose a JPEG" in page.locator(".problem").inner_text()
    (tmp_path / "large.jpg").write_bytes(bytes(33 * 2**20))
    choose(page, tmp_path / "large.jpg")
    page.wait_for_selector("text=exceed the maximum allowed size")
    page.problems.clear()  # gradio's script logs this refusal as an error


@IN_BROWSER
def test_twenty_uploads_at_once_are_all_answered_and_nothing_is_kept(visit, address, expected, folder):
    paths, categories = expected
    pages = [visit(address) for _ in range(20)]
    uploaded = [i % 5 for i in range(20)]  # four of each: equal uploads share a file
    for page, i in zip(pages, uploaded, strict=True):
        choose(page, paths[i])
    for page, i in zip(pages, uploaded, strict=True):
        page.wait_for_selector(".ranked")
        assert shown_categories(page) == categories[i]
    uploads = next(folder.glob("torchreid-rgbir-demo-*"))
    for _ in range(60):
        if not (left := [path for path in uploads.rglob("*") if path.is_file()]):
            break
        time.sleep(1)
    assert not left
    # The process itself reaches no other host, either.
    assert set((folder / "addresses").read_text().split()) <= {"127.0.0.1", "localhost", "None"}


@IN_BROWSER
def test_a_login_is_required_and_a_wrong_password_is_refused(browser, flags, tmp_path):
    (tmp_path / "password").write_text("correct horse\n")
    login = ["--user", "guard", "--password-file", tmp_path / "password"]
    with serving(tmp_path, *flags, *login, stop=signal.SIGTERM) as address:
        page = browser.new_page()
        page.goto(address)
        for password in ("wrong horse", "correct horse"):
            page.get_by_label("username").fill("guard")
            page.get_by_label("password").fill(password)
            page.get_by_role("button", name="Login").click()
            if password == "wrong horse":
                page.wait_for_selector("text=Incorrect Credentials")
                sent = {"files": {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"a"}}
                assert page.request.post(f"{address}/gradio_api/upload", multipart=sent).status == 401
        page.wait_for_selector(".hint")
        page.close()
    assert not list(tmp_path.glob("torchreid-rgbir-demo-*"))


def error_of(capsys, *words):
    assert main(["demo", *map(str, words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_mistakes_are_one_line(flags, tmp_path, capsys):
    (tmp_path / "short").write_text("secret\n")
    assert "add --user NAME and --password-file FILE" in error_of(capsys, *flags, "--host", "0.0.0.0")
    assert "belong together" in error_of(capsys, *flags, "--user", "guard")
    login = ["--user", "guard", "--password-file"]
    assert "has 6 characters: use at least 8" in error_of(capsys, *flags, *login, tmp_path / "short")
    assert "nowhere: No such file" in error_of(capsys, *flags, *login, tmp_path / "nowhere")
    assert "no.such.host" in error_of(capsys, *flags, "--host", "no.such.host", *login, Path(__file__))
    assert "cannot use port 70000" in error_of(capsys, *flags, "--port", "70000")
    (tmp_path / "empty").mkdir()
    assert "contains no CATEGORY/*.jpg" in error_of(capsys, *flags, "--reference", tmp_path / "empty", "--port", "0")
    assert "--threshold is nan" in error_of(capsys, *flags, "--threshold", "nan")
    with socket.socket() as used:
        used.bind(("127.0.0.1", 0))
        used.listen()
        port = used.getsockname()[1]
        assert f"cannot use port {port} of 127.0.0.1 (Address already in use): choose" in error_of(
            capsys, *flags, "--port", port
        )
