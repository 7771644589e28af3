"""What topo-cron would send of an AWS account, as a page to look at; nothing is sent, and nothing in AWS is changed."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import orjson
from rich.console import Console

from page.embed import page
from preview.account import Wanted, opened
from preview.difference import Difference, previous
from preview.errors import CannotPreview, Interrupted
from preview.reading import POLICY, Document, read
from preview.summary import summarise
from topology.settings import ROLE_ARN

EPILOG = f"""\
The credentials need no more than {POLICY} allows, which only reads.
Values that may be secrets (environment variables, parameters, passwords in URLs) are masked, as topo-cron masks them.

exit status:
  0    everything was read
  1    nothing could be read: credentials, region or command line
  2    something could not be read; page and file say what
  130  interrupted; no file was written
"""
STATUS = {"all": 0, "nothing": 1, "part": 2}
INTERRUPTED = 130
MOST_NAMED = 3  # regions in a title


class Parser(argparse.ArgumentParser):
    """Ends with our status where the command line is wrong: argparse's own is ours for a partial preview."""

    def error(self, message: str) -> NoReturn:
        """Say how to use it, and end."""
        self.print_usage(sys.stderr)
        self.exit(STATUS["nothing"], f"preview: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the preview; answers with the exit status."""
    options = parsed(arguments)
    try:
        return STATUS[previewed(options)["outcome"]]
    except CannotPreview as error:
        print(f"preview: {error}", file=sys.stderr)
        return STATUS["nothing"]
    except (Interrupted, KeyboardInterrupt) as error:
        far = f" {error}" if isinstance(error, Interrupted) else ""
        print(f"preview: interrupted{far}; no file was written", file=sys.stderr)
        return INTERRUPTED


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        "python -m preview",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--profile", default="", help="of the AWS configuration (default: as the AWS CLI finds it)")
    parser.add_argument("--role-arn", default="", help="role to read the account with")
    parser.add_argument("--external-id", default="", help="that the role asks for")
    parser.add_argument("--regions", type=names, default=[], metavar="A,B", help="regions to read (default: your own)")
    parser.add_argument("--out", type=Path, default=Path("preview.html"), help="the page (default: %(default)s)")
    parser.add_argument("--json", type=Path, default=Path("preview.json"), help="the data (default: %(default)s)")
    parser.add_argument("--diff", type=Path, metavar="FILE", help="earlier --json file, to tell what changed since")
    parser.add_argument("--title", default="", help="of the page (default: the regions)")
    options = parser.parse_args(arguments)
    if options.role_arn and not ROLE_ARN.fullmatch(options.role_arn):
        parser.error(f"--role-arn {options.role_arn}: give an ARN such as arn:aws:iam::123456789012:role/reader")
    if options.external_id and not options.role_arn:
        parser.error("--external-id belongs to --role-arn: give that, too")
    for path in (options.out, options.json):
        if why := unwritable(path):
            parser.error(f"{path} cannot be written: {why}")
    if options.out.resolve() == options.json.resolve():
        parser.error(f"--out and --json are the same file, {options.out}: the page and the data need one each")
    return options


def unwritable(path: Path) -> str:
    """Why the file cannot be written; empty if it can. Known before anything is read, which may take minutes."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    if path.is_dir():
        return "it is a folder"
    return "" if os.access(path if path.exists() else path.parent, os.W_OK) else "permission denied"


def names(text: str) -> list[str]:
    """The names in a list with commas, each once."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def previewed(options: argparse.Namespace) -> Document:
    """Read, compare, write, and sum up. Raises CannotPreview."""
    wanted = Wanted(options.profile, options.role_arn, options.external_id, options.regions)
    account = opened(wanted, os.environ)
    before = previous(options.diff, account.account.id) if options.diff else None
    document = read(account, Console(stderr=True))
    timeline = []
    if before:
        difference = Difference(before, document)
        document["comparison"] = difference.as_document()
        document["advice"] += difference.advice
        timeline = [difference.as_entry()]
    title = options.title or f"Preview of {shortened(document['regions'])}"
    write(options.out, as_page(document, timeline, title).encode())
    write(options.json, orjson.dumps(document, option=orjson.OPT_INDENT_2))
    console = Console(markup=False, highlight=False)
    summarise(document, console)
    console.print(f"\nLook at {options.out.resolve().as_uri()}", soft_wrap=True)
    console.print(f"Data in {options.json}: with --diff, the next preview tells what changed", soft_wrap=True)
    return document


def shortened(regions: Sequence[str]) -> str:
    """The regions, in few words."""
    return ", ".join(regions) if len(regions) <= MOST_NAMED else f"{len(regions)} regions"


def as_page(document: Document, timeline: list[Document], title: str) -> str:
    """The preview as a page of its own."""
    ledger = document["ledger"] | {
        "calls": document["calls"],
        "identity": document["identity"],
        "missing_permissions": document["missing_actions"],
        "advice": document["advice"],
        # Of sending and removing, which a preview does not do, the advice says what matters.
        "not_closed_because": [],
    }
    topology = {
        "instances": [{"type": "aws", "url": document["account"]}],
        "components": document["components"],
        "relations": document["relations"],
        "timeline": timeline,
    }
    return page(topology, ledger, title)


def write(path: Path, content: bytes) -> None:
    """Write the file. Raises CannotPreview."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise CannotPreview(f"{path} cannot be written: {error.strerror}") from error


if __name__ == "__main__":
    sys.exit(main())
