"""A headless Chromium for tests, driven by its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
PATIENCE = 60


def chromium() -> str | None:
    """Path of the browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """A page of the browser."""

    def __init__(self, socket: Any, run: Callable[[Any], Any]) -> None:
        self._socket, self._run, self._number = socket, run, 0
        self.console: list[str] = []

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its result; nothing where it failed."""
        self._number += 1
        message = json.dumps({"id": self._number, "method": method, "params": arguments})
        self._run(lambda: self._socket.write_message(message))
        while True:
            message = json.loads(self._run(self._socket.read_message))
            if message.get("method") == "Runtime.consoleAPICalled":
                self.console.append(" ".join(str(a.get("value", "")) for a in message["params"]["args"]))
            if message.get("method") == "Runtime.exceptionThrown":
                self.console.append(f"exception: {json.dumps(message['params'])[:500]}")
            if message.get("method") == "Log.entryAdded":
                self.console.append(
                    f"log: {message['params']['entry']['text']} {message['params']['entry'].get('url')}"
                )
            if message.get("id") == self._number:
                found: dict[str, Any] = message.get("result", {})
                return found

    def evaluate(self, script: str) -> Any:
        """Value of an expression of JavaScript."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def picture(self) -> NDArray[np.uint8]:
        """What is seen: uint8[y, x, 3]."""
        from PIL import Image

        for _ in range(50):  # not while the page is being exchanged
            if "data" in (found := self.call("Page.captureScreenshot", format="png")):
                break
            time.sleep(0.1)
        data = found["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def wait(self, seen: Callable[[NDArray[np.uint8]], bool], patience: float = PATIENCE) -> NDArray[np.uint8]:
        """What is seen as soon as it is what is waited for; what was seen last where that never comes."""
        end = time.monotonic() + patience
        while True:
            picture = self.picture()
            if seen(picture) or time.monotonic() > end:
                return picture
            time.sleep(0.2)


@contextlib.contextmanager
def tab(address: str, folder: Path, size: tuple[int, int] = (1000, 800)) -> Iterator[Tab]:
    """Open a page, and end the browser afterwards."""
    import asyncio

    from tornado.websocket import websocket_connect

    program = chromium()
    assert program is not None
    command = [program, *FLAGS, f"--user-data-dir={folder}", f"--window-size={size[0]},{size[1]}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    loop = asyncio.new_event_loop()
    try:
        port = _port(folder / "DevToolsActivePort", process)
        import urllib.request

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            target = next(one for one in json.load(answer) if one["type"] == "page")

        async def connect() -> Any:
            return await websocket_connect(target["webSocketDebuggerUrl"], max_message_size=2**28)

        socket = loop.run_until_complete(connect())

        def run(call: Callable[[], Any]) -> Any:
            async def wait() -> Any:
                return await asyncio.wait_for(call(), PATIENCE)

            return loop.run_until_complete(wait())

        page = Tab(socket, run)
        page.call("Page.enable")
        page.call("Runtime.enable")
        page.call("Log.enable")
        page.call(
            "Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False
        )
        page.call("Page.navigate", url=address)
        yield page
        socket.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children, too
        process.wait()
        loop.close()


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        assert process.poll() is None, f"the browser ended with {process.returncode}"
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(0.05)
    raise TimeoutError(f"{file}: the browser did not start")
