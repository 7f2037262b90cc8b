"""The site: built without a warning, and opened in Chromium."""

import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest

ROOT = Path(__file__).parent.parent.parent
SITE = ROOT / "docs/site"
PHONE = {"width": 390, "height": 844}
ABORTED = "net::ERR_ABORTED"
DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def built() -> Path:
    build = subprocess.run(
        [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "-f", "docs/zensical.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return SITE


class _Page(HTMLParser):
    """The links of a page, and the places in it that links may lead to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value and name in {"href", "src"}:
                self.links.add(value)
            elif value and name == "id":
                self.ids.add(value)


@pytest.mark.docs
def test_every_link_of_the_site_leads_somewhere(built: Path) -> None:
    pages = {f"/{path.relative_to(built).as_posix()}": _Page(path.read_text()) for path in built.rglob("*.html")}
    assert len(pages) > 30
    broken = set()
    for address, page in pages.items():
        # Relative links of the page for what is not found work from any address, which is not known here.
        for link in page.links if address != "/404.html" else ():
            target, fragment = urldefrag(urljoin(f"http://site{address}", link))
            parts = urlsplit(target)
            if parts.netloc != "site" or parts.scheme != "http":
                continue
            path = f"{parts.path}index.html" if parts.path.endswith("/") else parts.path
            if not (built / path[1:]).is_file() or (fragment and path in pages and fragment not in pages[path].ids):
                broken.add((address, link))
    assert not broken


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        pass


@pytest.fixture(scope="session")
def address(built: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(built))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


class _Tab:
    """A page of the browser that records what must not happen: errors, and requests to anywhere else."""

    def __init__(self, browser: Any, address: str, viewport: dict[str, int]) -> None:
        self.page = browser.new_page(viewport=viewport)
        self.faults: list[str] = []
        self.page.on("console", lambda it: self.fault(it.type in {"error", "warning"}, it.text))
        self.page.on("pageerror", lambda it: self.fault(True, str(it)))
        # What is still under way when the next page opens is aborted.
        self.page.on("requestfailed", lambda it: self.fault(it.failure != ABORTED, f"{it.url}: {it.failure}"))
        self.page.on("request", lambda it: self.fault(not it.url.startswith((address, "data:", "blob:")), it.url))
        self.page.on("response", lambda it: self.fault(it.status >= 400, f"{it.status} {it.url}"))

    def fault(self, is_one: bool, text: str) -> None:  # noqa: FBT001 - a condition
        if is_one:
            self.faults.append(text)

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        width: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return width


def navigation(page: Any) -> list[str]:
    found: list[str] = page.evaluate(
        "[...document.querySelectorAll('.md-nav--primary a.md-nav__link')].map(a => a.href.split('#')[0])"
    )
    return list(dict.fromkeys(found))


@pytest.mark.browser
def test_the_whole_navigation_can_be_clicked_through(browser: Any, address: str) -> None:
    tab = _Tab(browser, address, DESKTOP)
    tab.page.goto(address)
    visited = set()
    links = navigation(tab.page)
    assert len(links) > 30
    for link in links:
        tab.page.locator(".md-nav--primary a.md-nav__link[href]:visible").evaluate_all(
            "(all, link) => all.find(a => a.href.split('#')[0] === link).click()", link
        )
        tab.page.wait_for_url(re.compile(re.escape(link)))
        assert tab.page.locator("h1").first.inner_text().strip()
        visited.add(tab.page.url.split("#")[0])
        shoot(tab.page, "1280")
    assert visited == set(links)
    assert not tab.faults


@pytest.mark.browser
def test_no_page_is_wider_than_a_phone(browser: Any, address: str) -> None:
    tab = _Tab(browser, address, PHONE)
    tab.page.goto(address)
    wide = {}
    for link in navigation(tab.page):
        tab.page.goto(link)
        if tab.overflow() > 0:
            wide[link] = tab.overflow()
        shoot(tab.page, "390")
    assert not wide
    assert not tab.faults


CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = color => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
  const linear = part => (part /= 255) <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  const luminance = ([red, green, blue]) => 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
  const low = {};
  const texts = document.createTreeWalker(document.querySelector('.md-container'), NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility({visibilityProperty: true})) continue;
    const line = [];
    for (let each = element; each; each = each.parentElement) line.unshift(getComputedStyle(each));
    const opacity = line.reduce((product, style) => product * style.opacity, 1);
    if (opacity < 0.05) continue;
    const below = line.reduce((color, style) => over(rgba(style.backgroundColor), color), [255, 255, 255]);
    const color = rgba(line.at(-1).color);
    color[3] *= opacity;
    const [dark, light] = [luminance(below), luminance(over(color, below))].sort((a, b) => a - b);
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < 4.5) low[texts.currentNode.data.trim()] = contrast;
  }
  return low;
}"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_every_text_has_enough_contrast(browser: Any, address: str, scheme: str) -> None:
    page = browser.new_page(viewport=DESKTOP, color_scheme=scheme)
    for name in ("", "get-started/", "emulator/", "errors/", "json-events/", "cli/deploy/", "reference/client/"):
        page.goto(address + name)
        assert page.evaluate("document.body.dataset.mdColorScheme") == {"dark": "slate", "light": "default"}[scheme]
        assert page.evaluate(CONTRASTS) == {}, name
        shoot(page, scheme)


@pytest.mark.browser
def test_the_search_finds_a_public_name(browser: Any, address: str) -> None:
    tab = _Tab(browser, address, DESKTOP)
    tab.page.goto(address)
    tab.page.wait_for_load_state("networkidle")
    tab.page.locator(".md-search__button").click()
    tab.page.get_by_placeholder("Search").fill("roll_back_on_failure")
    tab.page.locator("a[href$='#flyasync.DeployBuilder.roll_back_on_failure']").first.click()
    tab.page.wait_for_url("**/reference/deploys/**")
    assert not tab.faults


def shoot(page: Any, size: str) -> None:
    """Save a picture of the page, for people, where DOCS_SCREENSHOTS names a folder."""
    if folder := os.environ.get("DOCS_SCREENSHOTS"):
        name = urlsplit(page.url).path.strip("/").replace("/", "-") or "index"
        page.screenshot(path=f"{folder}/{size}-{name}.png")
