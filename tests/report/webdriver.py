"""A real browser through its driver's HTTP protocol (W3C WebDriver), with the standard library alone."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The key under which the protocol hands out elements.
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def missing() -> str | None:
    """Why no browser can be started here, or None."""
    if _chromium() is None:
        return "no chromium here (Debian: apt-get install chromium)"
    if shutil.which("chromedriver") is None:
        return "no chromedriver here (Debian: apt-get install chromium-driver)"
    return None


def _chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One window of a headless browser."""

    def __init__(self, address: str, session: str) -> None:
        self._session = f"{address}/session/{session}"

    def open(self, page: Path) -> None:
        """Load a local page and wait until it is there."""
        self._post("url", {"url": page.as_uri()})

    def run(self, script: str, *arguments: Any) -> Any:
        """What JavaScript returns; it may be asynchronous and returns by `return`."""
        wrapped = "const done = arguments[arguments.length - 1], given = Array.from(arguments).slice(0, -1);"
        wrapped += f"(async function() {{ {script} }}).apply(null, given).then(done, e => done('failed: ' + e));"
        return self._post("execute/async", {"script": wrapped, "args": list(arguments)})

    def find(self, selector: str) -> str:
        """Handle of the first element that a CSS selector finds."""
        return self._post("element", {"using": "css selector", "value": selector})[_ELEMENT]

    def click(self, selector: str) -> None:
        """Click like a user: the element is scrolled to, and must not be covered."""
        self.run("document.querySelector(arguments[0]).scrollIntoView({block: 'center', inline: 'center'})", selector)
        self._post(f"element/{self.find(selector)}/click", {})

    def type(self, selector: str, text: str, *, clear: bool = False) -> None:
        """Type into an element key by key."""
        element = self.find(selector)
        if clear:
            self._post(f"element/{element}/clear", {})
        self._post(f"element/{element}/value", {"text": text})

    def complaints(self) -> list[str]:
        """Errors that the page wrote to the console since the last question."""
        return [entry["message"] for entry in self._post("se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def _post(self, path: str, data: dict[str, Any]) -> Any:
        return _post(f"{self._session}/{path}", data)


def _post(address: str, data: dict[str, Any]) -> Any:
    request = urllib.request.Request(address, json.dumps(data).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(f"{address}: {error.read().decode()}") from None


@contextmanager
def browser(profile: Path, width: int, height: int, *, phone: bool = False) -> Iterator[Browser]:
    """A browser with a window of this size in CSS pixels; a phone has touch and a denser screen."""
    arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    options: dict[str, Any] = {
        "binary": _chromium(),
        "args": [*arguments, f"--window-size={width},{height}", f"--user-data-dir={profile}"],
    }
    if phone:
        options["mobileEmulation"] = {"deviceMetrics": {"width": width, "height": height, "pixelRatio": 3.0}}
    wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    with subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as driver:
        try:
            address = f"http://127.0.0.1:{_port(driver)}"
            session = _post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})["sessionId"]
            try:
                yield Browser(address, session)
            finally:
                request = urllib.request.Request(f"{address}/session/{session}", method="DELETE")
                urllib.request.urlopen(request, timeout=60).close()
        finally:
            driver.terminate()


def _port(driver: subprocess.Popen[str]) -> int:
    for line in driver.stdout:
        if found := re.search(r"started successfully on port (\d+)", line):
            return int(found.group(1))
    raise RuntimeError("chromedriver ended before it told its port")
