"""What the block `allowedNamespaces`, which CloneSource and CloneBackend share, must accept and refuse."""

from __future__ import annotations

from tests.integration.api.rows import Change, Row

AT = "spec.allowedNamespaces"
LABELS = {"matchLabels": {"example.com/team": "a"}}
NAMED: Change = {AT: {"from": "Names", "names": ["team-a"]}}
LABELLED: Change = {AT: {"from": "Selector", "selector": LABELS}}
EVERY: Change = {AT: {"from": "All"}}
NAMES_ALONE = "names goes with from: Names only; remove one of the two"
LABELS_ALONE = "selector goes with from: Selector only; remove one of the two"
KEY_FORM = "every key in matchLabels needs the form of a label key, for example example.com/team"


def allowed_namespaces(kind: str) -> dict[str, Row]:
    """Return the rows for a kind."""
    return _combinations(kind) | _lists(kind)


def _row(kind: str, below: str, accepted: Change, value: object, says: str) -> Row:
    return Row(kind=kind, accepted=accepted, refused={AT: value}, at=AT + below, says=says)


def _combinations(kind: str) -> dict[str, Row]:
    def row(accepted: Change, says: str, **value: object) -> Row:
        return _row(kind, "", accepted, {"from": value.pop("origin"), **value}, says)

    names = ["team-a"]
    return {
        "from Names needs names": row(NAMED, "from: Names needs a list in names, for example [team-a]", origin="Names"),
        "names with All": row(EVERY, NAMES_ALONE, origin="All", names=names),
        "names with Selector": row(LABELLED, NAMES_ALONE, origin="Selector", names=names, selector=LABELS),
        "from Selector needs labels": row(LABELLED, "from: Selector needs selector.matchLabels", origin="Selector"),
        "selector with All": row(EVERY, LABELS_ALONE, origin="All", selector=LABELS),
        "selector with Names": row(NAMED, LABELS_ALONE, origin="Names", names=names, selector=LABELS),
    }


def _lists(kind: str) -> dict[str, Row]:
    def names(below: str, listed: list[str], says: str) -> Row:
        return _row(kind, f".names{below}", NAMED, {"from": "Names", "names": listed}, says)

    def labels(below: str, labels: dict[str, str], says: str) -> Row:
        value = {"from": "Selector", "selector": {"matchLabels": labels}}
        return _row(kind, f".selector.matchLabels{below}", LABELLED, value, says)

    unknown = 'supported values: "Names", "Selector", "All"'
    return {
        "unknown from": _row(kind, ".from", EVERY, {"from": "Everybody"}, unknown),
        "from is needed": _row(kind, ".from", EVERY, {"names": ["team-a"]}, "Required value"),
        "a namespace named twice": names("[1]", ["team-a", "team-a"], "Duplicate value"),
        "no namespace named": names("", [], "should have at least 1 items"),
        "a name that no namespace has": names("[0]", ["Team A"], "should match"),
        "an empty selector would mean everybody": labels("", {}, "should have at least 1 properties"),
        "a label key of two slashes": labels("", {"a/b/c": "d"}, KEY_FORM),
        "a label key of 400 characters": labels("", {"a" * 400: "d"}, KEY_FORM),
        "a label value with a space": labels(".team", {"team": "a b"}, "should match"),
    }
