"""What a page holds, read without a browser."""

import base64
import json
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

_EMPTY = {"meta", "input", "br", "link", "img", "hr"}


@dataclass
class PageText(HTMLParser):
    """The elements of a page.

    ids: of all elements, in order.
    texts: what is in each element that has an id.
    scripts: what the browser runs.
    policy: what it may load.
    """

    ids: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    scripts: list[str] = field(default_factory=list)
    policy: str = ""
    open_tags: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if name := found.get("id"):
            self.ids.append(name)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag not in _EMPTY:
            self.open_tags.append((tag, found))

    def handle_endtag(self, tag: str) -> None:
        assert self.open_tags, tag
        assert self.open_tags.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not self.open_tags:
            return
        tag, found = self.open_tags[-1]
        if name := found.get("id"):
            self.texts[name] = self.texts.get(name, "") + data
        if tag == "script" and "type" not in found:
            self.scripts.append(data)


def read_page(path: Path) -> PageText:
    page = PageText()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open_tags == []
    return page


def data_of(page: PageText) -> dict[str, Any]:
    return json.loads(page.texts["data"])


def video_of(page: PageText, path: Path) -> Path:
    """Write the video of a page to a file."""
    path.write_bytes(base64.b64decode(page.texts["video"]))
    return path


def words_of(path: Path) -> str:
    """The text of a page without what is coded in it."""
    return re.sub(r"[A-Za-z0-9+/=]{200,}", "", path.read_text(encoding="utf-8"))
