"""Puts the page together: style, scripts, icon and, for a file, the topology itself, in one HTML document.

The scripts tell the two apart by the element with the id `embedded`: where it is missing, they ask the server that the
page came from and follow its changes; where it is there, it is all they ever know, and they call nobody.
"""

import base64
import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATIC = Path(__file__).parent / "static"
# Nothing that the page shows may leave it, whatever is in the data.
POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; connect-src 'self'; "
    "img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline' data:"
)


def page(
    topology: Mapping[str, Any] | None = None, ledger: Mapping[str, Any] | None = None, title: str = "AWS topology"
) -> str:
    """The whole page as HTML.

    Args:
        topology: what to show, JSON-ready: `components` and `relations` in the receiver's form, each with `instance`
            ("aws/123456789012") where there are several; optionally `timeline` (`Entry.as_json()`, oldest first). None
            for the live page.
        ledger: what the run found out beside the topology (`ledger.json` of the state bucket), or None.
        title: the page's title.
    """
    icon = _data_url("image/svg+xml", (STATIC / "icon.svg").read_bytes())
    parts = {
        "policy": html.escape(POLICY),
        "title": html.escape(title),
        "icon": icon,
        "style": (STATIC / "style.css").read_text(),
        "modules": json.dumps({"imports": _modules()}),
        "embedded": "" if topology is None else _embedded({"topology": topology, "ledger": ledger}),
    }
    template = (STATIC / "index.html").read_text()
    pieces = template.split("{{")
    # One pass over the template: a value that looks like a placeholder stays what it is.
    filled = (parts[name] + rest for name, rest in (piece.split("}}", 1) for piece in pieces[1:]))
    return pieces[0] + "".join(filled)


def _modules() -> dict[str, str]:
    """Every script under the name that the others import it by."""
    return {f"page/{file.name}": _data_url("text/javascript", file.read_bytes()) for file in STATIC.glob("*.js")}


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _embedded(document: Mapping[str, Any]) -> str:
    """The document as an element. With every `<` escaped, no text in it can end the element or open another."""
    text = json.dumps(document).replace("<", "\\u003c")
    return f'<script type="application/json" id="embedded">{text}</script>'
