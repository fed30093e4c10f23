"""Opens an HTML file in headless Chromium (Qt's) and prints what happened as JSON:  python browse.py PAGE WIDTH SCREENSHOT"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_CHROMIUM_FLAGS": "--no-sandbox --disable-gpu"}

from PyQt6.QtCore import QTimer, QUrl  # noqa: E402
from PyQt6.QtWebEngineCore import QWebEnginePage, QWebEngineUrlRequestInterceptor  # noqa: E402
from PyQt6.QtWebEngineWidgets import QWebEngineView  # noqa: E402
from PyQt6.QtWidgets import QApplication  # noqa: E402

LOOK = """({
    title: document.title, width: innerWidth, scrolled: document.documentElement.scrollWidth, height: document.body.scrollHeight,
    pictures: [...document.images].map(image => image.complete ? image.naturalWidth : 0),
    text: parseFloat(getComputedStyle(document.body).fontSize),
})"""
MAX_HEIGHT = 8000  # of a screenshot


class Page(QWebEnginePage):
    console: list[str] = []

    def javaScriptConsoleMessage(self, level, message, line, source):
        self.console.append(message)


class Requests(QWebEngineUrlRequestInterceptor):
    outside: list[str] = []

    def interceptRequest(self, info):
        if info.requestUrl().scheme() not in ("file", "data"):
            self.outside.append(info.requestUrl().toString())


app = QApplication(sys.argv[:1])
path, width, screenshot = Path(sys.argv[1]).absolute(), int(sys.argv[2]), sys.argv[3]
view, requests = QWebEngineView(), Requests()
page = Page(view)
page.setUrlRequestInterceptor(requests)
view.setPage(page)
view.resize(width, 844)


def looked(found):
    view.resize(width, min(found["height"] + 40, MAX_HEIGHT))
    QTimer.singleShot(1500, lambda: finish(found))


def finish(found):
    view.grab().save(screenshot)
    print(json.dumps(found | {"console": page.console, "outside": requests.outside}))
    app.quit()


page.loadFinished.connect(lambda ok: QTimer.singleShot(500, lambda: page.runJavaScript(LOOK, looked)))
view.load(QUrl.fromLocalFile(str(path)))
view.show()
app.exec()
