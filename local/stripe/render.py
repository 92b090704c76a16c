"""How objects go out: ids replaced where the caller asks to expand them, lists by pages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from local.stripe.errors import Refusal, missing
from local.stripe.world import Obj, World, clone

MAX_DEPTH = 4
Include = Callable[[World, Obj], Any]
INCLUDED: dict[tuple[str, str], Include] = {}
"""(kind, member) to what computes it: members that are only there when they are expanded."""


def includes(kind: str, member: str) -> Callable[[Include], Include]:
    """Register the function that computes `member` of `kind` when a caller expands it."""

    def register(compute: Include) -> Include:
        INCLUDED[kind, member] = compute
        return compute

    return register


def render(world: World, obj: Obj, expand: Iterable[str] = ()) -> Obj:
    """A copy to be sent. Raises Refusal for a path that can't be expanded."""
    shown: Obj = clone(obj)
    for path in expand:
        names = path.split(".")
        if len(names) > MAX_DEPTH:
            raise Refusal(f"You cannot expand more than {MAX_DEPTH} levels of a property.", param="expand")
        _expand(world, shown, names, path)
    return shown


def _expand(world: World, obj: Any, names: list[str], path: str) -> None:
    if isinstance(obj, list):
        for each in obj:
            _expand(world, each, names, path)
        return
    if not names or not isinstance(obj, dict):
        return
    name, *rest = names
    computed = INCLUDED.get((str(obj.get("object")), name))
    if computed and not isinstance(obj.get(name), dict):
        obj[name] = computed(world, obj)
    elif name not in obj:
        raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
    elif isinstance(obj[name], str):
        found = world.objects.get(obj[name])
        if found is None:
            raise Refusal(f"This property cannot be expanded ({path}).", param="expand")
        obj[name] = clone(found)
    elif isinstance(obj[name], list):
        obj[name] = [clone(world.objects.get(each, each)) if isinstance(each, str) else each for each in obj[name]]
    _expand(world, obj[name], rest, path)


def page(world: World, url: str, found: list[Obj], given: Obj) -> Obj:
    """A page of `found` (oldest first), newest first, as `limit`, `starting_after` and `ending_before` ask."""
    limit = given.get("limit", 10)
    if not 1 <= limit <= 100:
        raise Refusal(f"Invalid limit: must be between 1 and 100, got {limit}", param="limit")
    newest = [each for each in reversed(found) if _within(each, given.get("created"))]
    if after := given.get("starting_after"):
        newest = newest[_place(newest, after, "starting_after") + 1 :]
    if before := given.get("ending_before"):
        newest = newest[: _place(newest, before, "ending_before")]
        return listed(url, newest[-limit:], has_more=len(newest) > limit)
    return listed(url, newest[:limit], has_more=len(newest) > limit)


def listed(url: str, data: list[Obj], *, has_more: bool = False) -> Obj:
    """A list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def _place(found: list[Obj], identifier: str, param: str) -> int:
    for place, each in enumerate(found):
        if each["id"] == identifier:
            return place
    raise missing(found[0]["object"] if found else "object", identifier, param)


def _within(obj: Obj, wanted: Any) -> bool:
    if wanted is None:
        return True
    created: int = obj["created"]
    if not isinstance(wanted, dict):
        return bool(created == wanted)
    after = max(wanted.get("gt", -1), wanted.get("gte", 0) - 1)
    before = min(wanted.get("lt", 1 << 62), wanted.get("lte", 1 << 62) + 1)
    return bool(after < created < before)


def matching(found: Iterable[Obj], given: Obj, *names: str) -> list[Obj]:
    """Those whose members equal the given filters of these names."""
    wanted = {name: given[name] for name in names if name in given}
    return [each for each in found if all(each.get(name) == value for name, value in wanted.items())]
