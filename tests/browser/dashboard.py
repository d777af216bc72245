# SPDX-License-Identifier: BSD-3-Clause
"""What people see, checked where they see it.   dashboard.py LODESTONE_MANAGER"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from webdriver import Browser

PICTURES = os.environ.get("PICTURES")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Site:
    """A manager and a gateway's telemetry, both of which may go."""

    def __init__(self, program, folder):
        self.program, self.folder, self.port = program, folder, free_port()
        self.socket, self.processes = f"{folder}/telemetry", {}

    def start(self, name, *command):
        self.processes[name] = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def start_gateway(self):
        self.start("gateway", sys.executable, f"{os.path.dirname(__file__)}/fake_gateway.py", self.socket)

    def start_manager(self):
        self.start("manager", self.program, "serve", "--insecure-loopback", "--port", str(self.port), "--data",
                   f"{self.folder}/state", "--gateway", self.socket)
        for _ in range(100):
            try:
                return self.get("/api/v1/health")
            except OSError:
                time.sleep(0.1)
        raise AssertionError("the manager does not answer")

    def stop(self, name):
        process = self.processes.pop(name, None)
        if process:
            process.send_signal(signal.SIGTERM)
            process.wait()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def get(self, path):
        with urllib.request.urlopen(self.url(path), timeout=5) as reply:
            return reply.read().decode()

    def post(self, path, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.url("/api/v1" + path), data, method="POST")
        with urllib.request.urlopen(request, timeout=5) as reply:
            return json.load(reply)


def check(what, condition):
    if not condition:
        raise AssertionError(what)
    print(f"ok: {what}")


def picture(browser, name):
    if PICTURES:
        browser.picture(f"{PICTURES}/{name}.png")


def empty_states(browser, site):
    browser.open(site.url())
    browser.wait("an empty fleet is explained", lambda: "No campaign yet" in browser.text("#campaigns"))
    check("no device, no model, each said", "No device is registered" in browser.text("#devices")
          and "No model has been uploaded" in browser.text("#models"))
    browser.wait("a gateway that never answered", lambda: "The gateway is down" in browser.text("#banner"))
    check("its part is not shown at all", browser.js("return document.getElementById('gateway').offsetParent") is None)
    picture(browser, "empty")


def live_figures(browser, site):
    site.start_gateway()
    browser.wait("paths appear without a reload", lambda: "fibre" in browser.text("#paths"))
    check("the banner is gone", not browser.text("#banner"))
    check("four paths with figures", all(f"{p}" in browser.text("#paths") for p in ("cable", "lte", "satellite", "192.0.2.2:51900")))
    lines = "return document.querySelectorAll('#chart-rtt path').length"
    browser.wait("a line per path", lambda: browser.js(lines) == 4)
    longer = "return document.querySelector('#chart-rtt path').getAttribute('d').split('L').length"
    points = browser.wait("a line", lambda: browser.js(longer))
    browser.wait("lines grow", lambda: browser.js(longer) >= points + 2)
    browser.wait("rates come from what was carried", lambda: "Mbit/s" in browser.text("#paths"))
    check("classes know their paths", browser.js("return document.querySelectorAll('#classes tbody .preferred').length") == 6)
    check("and why they changed", "cable → fibre" in browser.text("#decisions") and "better: latency" in browser.text("#decisions"))
    check("redundancy is shown", "100 %" in browser.text("#redundancy"))
    check("models are shown", "loss_transformer" in browser.text("#models-used"))
    check("drops are shown with their reason", "no peer, LAN or default owns" in browser.text("#drops"))
    check("what a gateway says is text, not markup", browser.js("return document.querySelectorAll('#drops b').length") == 0
          and "<b>not markup</b>" in browser.js("return document.querySelector('#drops [title]').title"))


def campaign(browser, site):
    site.post("/fleets", {"id": "north"})
    for i in range(12):
        site.post("/devices", {"id": f"edge-{i:02}"})
        site.post(f"/fleets/north/devices/edge-{i:02}", {})
    for version in (1, 2):
        site.post(f"/models/loss/versions/v{version}", bytes([version]) * 200000)
    site.post("/campaigns", {"model_id": "loss", "model_version": "v2", "fleet_id": "north", "strategy": "all_at_once"})
    done = {"current_model": "loss", "current_model_version": "v2", "last_update_result": "success"}
    for i in range(5):
        site.post(f"/devices/edge-{i:02}/heartbeat", done)
    site.post("/devices/edge-05/heartbeat", {"last_update_result": {"failed": {
        "error": "<i>SHA-256</i> differs", "class": "verification"}}})
    browser.wait("a campaign with counts", lambda: "5 complete" in browser.text("#campaigns"))
    browser.click("#campaigns tr.opens")
    browser.wait("its devices", lambda: "edge-11" in browser.text("#campaigns"))
    check("an error is written as it is", "<i>SHA-256</i> differs" in browser.text("#campaigns"))
    site.post("/devices/edge-06/heartbeat", done)
    browser.wait("a device's progress comes by itself", lambda: "6 complete" in browser.text("#campaigns"))
    browser.js("document.querySelector('#campaigns tr.opens').focus()")
    site.post("/devices/edge-07/heartbeat", {"update_state": "downloading"})
    browser.wait("and a change of its state", lambda: "1 downloading" in browser.text("#campaigns"))
    check("who goes by keyboard stays where they were", browser.js("return document.activeElement.className") == "opens")
    check("devices are listed", "edge-03" in browser.text("#devices"))
    check("tiles say how many are online", "8 / 12" in browser.text("#tiles"))


def looks(browser):
    for name, size, dark, phone in (("light", (1280, 1900), False, False), ("dark", (1280, 1900), True, False),
                                    ("phone", (390, 844), False, True), ("phone-dark", (390, 3200), True, True)):
        browser.screen(*size, dark=dark, phone=phone)
        theme = "dark" if dark else "light"
        browser.wait(f"{name}: colours follow the system", lambda: browser.js("return document.documentElement.dataset.theme") == theme)
        time.sleep(0.3)
        wide = browser.js("return document.documentElement.scrollWidth - innerWidth")
        check(f"{name}: nothing sticks out", wide <= 0)
        picture(browser, name)
    browser.screen(1280, 1600)
    browser.wait("light again", lambda: browser.js("return document.documentElement.dataset.theme") == "light")
    browser.click("#theme")
    check("the button changes colours", browser.js("return document.documentElement.dataset.theme") == "dark")
    browser.open(browser.js("return location.href"))
    browser.wait("which is remembered", lambda: browser.js("return document.documentElement.dataset.theme") == "dark")
    browser.click("#theme")


def troubles(browser, site):
    browser.wait("the page is there", lambda: "fibre" in browser.text("#paths"))
    open(site.socket + ".satellite-down", "w").close()
    browser.wait("a path that goes down", lambda: "down" in browser.text("#paths") and "3 / 4" in browser.text("#tiles"))
    site.stop("gateway")
    browser.wait("a gateway that goes down is said, with how old figures are", lambda: "old" in browser.text("#banner"))
    check("the last figures stay, marked", "fibre" in browser.text("#paths") and
          browser.js("return document.getElementById('gateway').classList.contains('stale')"))
    check("but not as what is now", "paths up" not in browser.text("#tiles"))
    picture(browser, "gateway-down")
    site.start_gateway()
    browser.wait("it comes back", lambda: not browser.text("#banner"))
    site.stop("manager")
    browser.wait("a manager that is gone is said", lambda: "The manager does not answer" in browser.text("#banner"))
    picture(browser, "manager-down")
    browser.complaints() # refused connections, as they must be
    site.start_manager()
    browser.wait("and comes back by itself", lambda: not browser.text("#banner") and "fibre" in browser.text("#paths"), 20)
    check("campaigns outlived it", "6 complete" in browser.text("#campaigns"))


def main():
    with tempfile.TemporaryDirectory() as folder:
        site, browser = Site(sys.argv[1], folder), Browser()
        try:
            site.start_manager()
            browser.screen(1280, 1600)
            empty_states(browser, site)
            live_figures(browser, site)
            campaign(browser, site)
            looks(browser)
            complaints = browser.complaints()
            check(f"the console is quiet {complaints or ''}", not complaints)
            troubles(browser, site)
            complaints = browser.complaints()
            check(f"and stays so {complaints or ''}", not [c for c in complaints if "ERR_CONNECTION" not in c])
        finally:
            browser.close()
            site.stop("manager")
            site.stop("gateway")


main()
