"""The preview in the terminal: what was found, what was not read, what that took, and what changed."""

from collections import Counter, defaultdict
from datetime import datetime
from typing import Any

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table

from preview.reading import Document
from topology.errors import Denied

GAP = 3  # columns between two of a table
WIDTH_OF_ALL = 14  # columns of the last number, and of the margins
MOST_NAMED = 6  # services or regions that are told by name
MOST_CHANGES = 40  # components that are named one by one
MOST_FIELDS = 3  # of a component
SIGNS = {"created": "+", "updated": "~", "deleted": "-"}


def summarise(document: Document, console: Console) -> None:
    """Print the tables."""
    ledger = document["ledger"]
    console.print(f"\nAccount {document['account']}, {', '.join(document['regions'])}, read as {document['identity']}")
    if document["components"]:
        console.print(_components(document, console.width))
    relations = document["counts"]["relations"]
    if relations:
        kinds = ", ".join(f"{count:,} {type_!r}" for type_, count in relations.items())
        console.print(f"{sum(relations.values()):,} relations: {kinds}\n")
    if not_read := [scope for scope in ledger["scopes"] if not scope["complete"]]:
        console.print(_not_read(not_read))
    if ledger["left_out"]:
        console.print(_left_out(ledger["left_out"]))
    if document["missing_actions"]:
        console.print(_missing(document["missing_actions"]))
    console.print(_calls(document))
    if len(document["calls"]["by_region"]) > 1:
        console.print(_regions(document))
    if difference := document.get("comparison"):
        _compared(document, difference, console)
    for sentence in document["advice"]:
        console.print(f"! {sentence}")


def _table(title: str, *columns: str) -> Table:
    """A table whose columns that begin with # hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith("#") else "left"
        table.add_column(column.removeprefix("#"), justify=justify, overflow="fold")
    return table


def _components(document: Document, width: int) -> Table:
    by_type = document["counts"]["components"]
    regions = sorted({region for counts in by_type.values() for region in counts})
    several = len(regions) > 1
    if several and max(map(len, by_type)) + sum(len(region) + GAP for region in regions) + WIDTH_OF_ALL > width:
        # Where there is no room for regions side by side, their table tells how many each of them has.
        return _totals(by_type)
    table = _table("Components", "type", *(f"#{region}" for region in regions), *(["#all"] if several else []))
    totals = Counter[str]()
    for type_, counts in by_type.items():
        totals.update(counts)
        table.add_row(type_, *_numbers(counts, regions, several))
    table.add_section()
    table.add_row("all", *_numbers(totals, regions, several))
    return table


def _totals(by_type: dict[str, dict[str, int]]) -> Table:
    table = _table("Components", "type", "#in regions", "#all")
    for type_, counts in by_type.items():
        table.add_row(type_, f"{len(counts)}", f"{sum(counts.values()):,}")
    table.add_section()
    table.add_row("all", "", f"{sum(sum(counts.values()) for counts in by_type.values()):,}")
    return table


def _numbers(counts: dict[str, int], regions: list[str], several: bool) -> list[str]:
    cells = [f"{counts[region]:,}" if counts.get(region) else "" for region in regions]
    return [*cells, f"{sum(counts.values()):,}"] if several else cells


def _not_read(scopes: list[Any]) -> Table:
    """What is the same in several regions is told once."""
    regions: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    said: dict[tuple[str, str, str], str] = {}
    for scope in scopes:
        for cause in scope["causes"]:
            what = ("all" if scope["service"] == "*" else scope["service"], cause["cause"], cause["action"])
            regions[what].append(scope["region"])
            said.setdefault(what, cause["error"])
    table = _table("Not read to the end", "service", "region", "because", "call, and what AWS said")
    for (service, because, action), where in regions.items():
        # That a call is denied says everything; the page and the file have AWS's words for it.
        words = action if because == Denied.cause else said[service, because, action]
        table.add_row(service, _few(where), because, words)
    return table


def _few(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _left_out(findings: list[Any]) -> Table:
    places: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
    for one in findings:
        places[one["action"], one["cause"]].append((one["service"], one["region"]))
    table = _table("Details that are missing", "call", "because", "of services", "region")
    for (action, because), where in sorted(places.items()):
        services, regions = (sorted(set(names)) for names in zip(*where, strict=True))
        table.add_row(action, because, _few(services), _few(regions))
    return table


def _missing(actions: list[str]) -> Table:
    table = _table("IAM actions that are missing", "action")
    for action in actions:
        table.add_row(action)
    return table


def _calls(document: Document) -> Table:
    """The seconds of a service are those of the region that took longest."""
    ledger, calls = document["ledger"], document["calls"]
    table = _table("API calls and seconds", "service", "#calls", "#seconds")
    for service, count in sorted(calls["by_service"].items(), key=lambda item: -item[1]):
        table.add_row(service, f"{count:,}", _longest(ledger, "service", service))
    table.add_section()
    table.add_row("all", f"{calls['total']:,}", f"{ledger['ended'] - ledger['began']:.1f}")
    return table


def _regions(document: Document) -> Table:
    table = _table("By region", "region", "#components", "#calls", "#seconds", "#not read to the end")
    components = Counter[str]()
    for counts in document["counts"]["components"].values():
        components.update(counts)
    scopes = document["ledger"]["scopes"]
    for region, calls in document["calls"]["by_region"].items():
        unread = sum(scope["region"] == region and not scope["complete"] for scope in scopes)
        seconds = _longest(document["ledger"], "region", region)
        table.add_row(region, f"{components[region]:,}", f"{sum(calls.values()):,}", seconds, f"{unread or ''}")
    return table


def _longest(ledger: Document, name: str, value: str) -> str:
    seconds = [scope["seconds"] for scope in ledger["scopes"] if scope[name] == value]
    return f"{max(seconds):.1f}" if seconds else ""


def _compared(document: Document, difference: Document, console: Console) -> None:
    since = datetime.fromtimestamp(difference["with"]["began"]).astimezone()
    table = _table(f"Since {since:%Y-%m-%d %H:%M:%S %Z}", "", "#came", "#changed", "#went", "#not compared")
    for kind in ("components", "relations"):
        counts = [f"{len(difference[kind][what]):,}" for what in ("created", "updated", "deleted")]
        table.add_row(kind, *counts, f"{difference['not_compared'][kind]:,}")
    console.print(table)
    lines = list(_changes(difference["components"]))
    for line in lines[:MOST_CHANGES]:
        console.print(line, soft_wrap=True)
    if len(lines) > MOST_CHANGES:
        console.print(f"and {len(lines) - MOST_CHANGES:,} more: all are in the JSON file, under 'comparison'")
    console.print()


def _changes(changes: Document) -> list[str]:
    lines = [f"{SIGNS['created']} {id_}" for id_ in changes["created"]]
    for id_, fields in changes["updated"].items():
        told = [_field(field) for field in fields[:MOST_FIELDS]]
        more = [f"and {len(fields) - MOST_FIELDS} more"] if len(fields) > MOST_FIELDS else []
        lines.append(f"{SIGNS['updated']} {id_} ({', '.join(told + more)})")
    return lines + [f"{SIGNS['deleted']} {id_}" for id_ in changes["deleted"]]


def _field(field: Document) -> str:
    old, new = field["old"], field["new"]
    if old is None or new is None:
        return f"{field['name']}: {'new, ' + new if old is None else 'gone, was ' + old}"
    return f"{field['name']}: {old} → {new}"
