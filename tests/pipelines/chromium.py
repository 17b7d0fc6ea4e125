"""A headless Chromium, spoken to over a pipe: enough to open a page, press keys, and see what it saves and asks for."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_END = b"\0"


class Page:
    """One open page; ``events`` are what the browser told so far."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._buffer, self._number = write, read, b"", 0
        self.session: str | None = None
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session and not method.startswith(("Target.", "Browser.")):
            message["sessionId"] = self.session
        os.write(self._write, json.dumps(message).encode() + _END)
        while True:
            said = self._next()
            if said.get("id") == self._number:
                assert "error" not in said, said
                return dict(said["result"])
            self.events.append(said)

    def wait(self, method: str) -> dict[str, Any]:
        """Wait for an event."""
        while not any(event["method"] == method for event in self.events):
            self.events.append(self._next())
        found = next(event for event in self.events if event["method"] == method)
        self.events.remove(found)
        return dict(found["params"])

    def run(self, script: str) -> Any:
        """Return what a script evaluates to in the page; the page's own policy does not bind the tools."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press a key and let it go."""
        text = {"text": key} if len(key) == 1 else {}
        for kind in ("keyDown", "keyUp"):
            self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def _next(self) -> dict[str, Any]:
        while _END not in self._buffer:
            more = os.read(self._read, 1 << 16)
            assert more, "the browser is gone"
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(_END)
        return dict(json.loads(line))


@contextmanager
def opened(path: Path, downloads: Path) -> Iterator[Page]:
    """Open a file of this machine in a browser of its own; what it saves goes to ``downloads``."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    arguments = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe",
        f"--user-data-dir={downloads / 'profile'}",
    ]  # fmt: skip
    # The browser reads commands at descriptor 3 and writes at 4.
    command = f"exec 3<&{to_browser} 4>&{to_us}; exec " + " ".join(f"'{one}'" for one in arguments)
    process = subprocess.Popen(
        ["bash", "-c", command],
        pass_fds=(to_browser, to_us),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_browser)
    os.close(to_us)
    page = Page(from_us, from_browser)
    try:
        target = page.send("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page.send(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads), eventsEnabled=True
        )
        for domain in ("Page", "Runtime", "Network", "Log"):
            page.send(f"{domain}.enable")
        page.send("Page.navigate", url=path.as_uri())
        page.wait("Page.loadEventFired")
        yield page
    finally:
        process.kill()
        process.wait()
        os.close(from_us)
        os.close(from_browser)
