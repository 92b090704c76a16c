"""Lists read what they show and little more."""

from __future__ import annotations

from typing import Any

import pytest

from noren.knowledge.row_store import MOST_ROWS, Position, RowStore
from noren.tables import to_item
from tests.dynamodb import MemoryDynamoDB

ROWS = 2000


class Metered(MemoryDynamoDB):
    """Counts the rows that are read, and the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = self.read = 0

    def query(self, **options: Any) -> dict[str, Any]:
        self.calls += 1
        self.read += len(
            super().query(**{each: options[each] for each in options if each != "FilterExpression"})["Items"]
        )
        return super().query(**options)


@pytest.fixture(scope="module")
def filled() -> MemoryDynamoDB:
    client = MemoryDynamoDB()
    for number in range(ROWS):
        item = {"pk": "p", "sk": f"{number:04d}", "kind": "rare" if number % 500 == 499 else "common"}
        client.put_item(TableName="t", Item=to_item(item))
    return client


@pytest.fixture
def client(filled: MemoryDynamoDB) -> Metered:
    made = Metered()
    made.items = filled.items
    return made


@pytest.mark.parametrize("newest", [False, True])
def test_a_page_reads_what_it_shows(client: Metered, newest: bool) -> None:
    rows, position = RowStore(client, "t"), None  # type: ignore[arg-type]
    seen: list[str] = []
    for _ in range(3):
        items, position = rows.page("p", 20, position, newest=newest)
        seen += [each["sk"] for each in items]
    assert seen == [f"{number:04d}" for number in (range(ROWS - 1, ROWS - 61, -1) if newest else range(60))]
    assert (client.calls, client.read) == (3, 3 * 21)


def test_all_pages_together_are_the_partition(client: Metered) -> None:
    rows = RowStore(client, "t")  # type: ignore[arg-type]
    seen, position = list[str](), None
    while True:
        items, position = rows.page("p", 100, position)
        seen += [each["sk"] for each in items]
        if position is None:
            break
    assert seen == [f"{number:04d}" for number in range(ROWS)]


def test_what_is_rare_is_looked_for_in_few_calls(client: Metered) -> None:
    rows, position = RowStore(client, "t"), Position()  # type: ignore[arg-type]
    items, following = rows.page("p", 2, position or None, only={"kind": "rare"})
    assert ([each["sk"] for each in items], following) == (["0499", "0999"], {"sk": "0999"})
    assert client.calls < 15
    client.read = client.calls = 0
    assert rows.page("p", 1, None, only={"kind": "common"})[0]
    assert (client.calls, client.read) == (1, 2)
    assert rows.page("p", 5, None, only={"kind": "none"}) == ([], None)
    assert client.read <= ROWS + MOST_ROWS
