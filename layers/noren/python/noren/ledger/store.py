"""The admission items in DynamoDB: every expression on them stands here.

`ACC#<tenant>` / `0` in `quotas`:

| attribute | meaning |
|---|---|
| `st` | `active` or `stopped` |
| `nx` | the next instant that something ends (day, month, lot); nothing is admitted past it before a turn or fold |
| `per`, `ps` | this month, and the instant that tells its holds from older ones |
| `dd`, `ds` | this day, likewise |
| `tz`, `zn` | the zone that counts now, and the one that will from the next month on |
| `qc`, `ql` | chats used (settled and held) and allowed this month |
| `et`, `el` | embedding tokens left and allowed this month |
| `gr` | `{c, e, f}: [full, top, granted]`: where `ql`, `el` and the free credits come from (`account.Grant`) |
| `dl`, `sd` | requests a day and site allowed; today's counts `{slot: count}` |
| `cc`, `hm` | holds allowed at once; the open ones `{key: "amounts.expiry.nonce"}` (`holds.py`) |
| `av`, `u`, `dbt` | spendable credits; all that were ever settled; credits owed |
| `ov` | whether credits may pay where the plan's chats are spent |
| `lx`, `cap` | when the next lot expires; free credits that may be carried over |
| `v` | version of everything that only a turn, a fold or a change of limits writes |

Where the credits come from stands in the `credits` table (`book_store.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from noren import tables
from noren.ids import TenantId
from noren.ledger.account import Account, Grant
from noren.ledger.holds import Held
from noren.ledger.lots import NEVER
from noren.ledger.models import Ask
from noren.tables import Item

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ACTIVE, STOPPED = "active", "stopped"

BEFORE_CREDITS: Item = {"cap": 0, "lx": NEVER, "ov": False}
"""What an account of the first version lacks."""

Job = Literal["SWEEP", "RECONCILE", "SUMMARIES"]
"""What walks through all accounts."""


class Refused(Exception):
    """The write's condition did not hold. `account` is the image that it ran into, None if there is no account."""

    def __init__(self, account: Account | None) -> None:
        super().__init__("refused")
        self.account = account


class LedgerStore:
    """Admission items. `client` makes a single attempt at each call; repeating is the ledger's affair."""

    def __init__(self, client: DynamoDBClient, table: str) -> None:
        self._client = client
        self._table = table

    def get(self, tenant_id: TenantId) -> Account | None:
        """The account, read strongly."""
        answer = self._client.get_item(TableName=self._table, Key=_key(tenant_id), ConsistentRead=True)
        return account_of(tables.from_item(answer["Item"])) if "Item" in answer else None

    def reserve(self, ask: Ask, key: str, held: Held) -> Account:
        """The one write that admits: debit, count and insert the hold, if everything is there. Raises Refused."""
        names = {"#r": key}
        values: dict[str, Any] = {":h": str(held), ":t": held.made_at, ":active": ACTIVE}
        sets = ["hm.#r = :h"]
        conditions = ["st = :active", "nx > :t", "ds <= :t", "attribute_not_exists(hm.#r)", "size(hm) < cc"]
        if held.chats:
            values[":chats"] = held.chats
            sets.append("qc = qc + :chats")
            conditions.append("qc < ql")
        if held.credits:
            values[":credits"] = held.credits
            sets.append("av = av - :credits")
            conditions += ["av >= :credits", "dbt = :owed"]
            values[":owed"] = 0
        if held.embedding_tokens:
            values[":tokens"] = held.embedding_tokens
            sets.append("et = et - :tokens")
            conditions.append("et >= :tokens")
        if held.slot:
            names["#s"] = held.slot
            values |= {":zero": 0, ":one": 1}
            limit = "dl"
            if ask.site_daily_limit is not None:
                limit, values[":limit"] = ":limit", ask.site_daily_limit
            sets.append("sd.#s = if_not_exists(sd.#s, :zero) + :one")
            # A site's first request of the day: its count is not there yet
            first = "attribute_not_exists(sd.#s)" + (" AND dl > :zero" if limit == "dl" else "")
            closed = ask.site_daily_limit is not None and ask.site_daily_limit < 1
            conditions.append(f"sd.#s < {limit}" if closed else f"(({first}) OR sd.#s < {limit})")
        account = self._update(ask.tenant_id, "SET " + ", ".join(sets), conditions, values, names, returned="ALL_NEW")
        assert account is not None
        return account

    def apply(
        self, tenant_id: TenantId, key: str, held: Held, used: Held | None, *, in_period: bool, in_day: bool
    ) -> None:
        """Remove the hold and give back what `used` left over (None: all of it). Raises Refused.

        Chats and embedding tokens go back only if `in_period` (the hold's own period still runs), the site's request
        only if nothing was used and `in_day`; the write is refused where either is claimed but not so.
        """
        names = {"#r": key}
        values: dict[str, Any] = {":h": str(held)}
        sets: list[str] = []
        conditions = ["hm.#r = :h"]
        credits = used.credits if used else 0
        if held.credits:
            values |= {":back": held.credits - credits, ":used": credits}
            sets += ["av = av + :back", "u = u + :used"]
        chats = held.chats - (used.chats if used else 0)
        tokens = held.embedding_tokens - (used.embedding_tokens if used else 0)
        if in_period and (chats or tokens):
            values |= {":chats": chats, ":tokens": tokens, ":t": held.made_at}
            sets += ["qc = qc - :chats", "et = et + :tokens"]
            conditions.append("ps <= :t")
        if in_day and held.slot and not used:
            names["#s"] = held.slot
            values |= {":one": 1, ":t": held.made_at}
            sets.append("sd.#s = sd.#s - :one")
            conditions.append("ds <= :t")
        update = ("SET " + ", ".join(sets) + " " if sets else "") + "REMOVE hm.#r"
        self._update(tenant_id, update, conditions, values, names)

    def turn(self, before: Account, after: Account) -> None:
        """Write what a turn or a change of limits changes, if nobody has since `before` was read. Raises Refused."""
        sets, values = turn_expression(before, after)
        self._update(before.tenant_id, "SET " + ", ".join(sets), ["v = :v"], values, {})

    def set_status(self, tenant_id: TenantId, *, active: bool) -> None:
        """Open or stop the account. Raises Refused if there is none."""
        values = {":st": ACTIVE if active else STOPPED}
        self._update(tenant_id, "SET st = :st", ["attribute_exists(pk)"], values, {})

    def _update(
        self,
        tenant_id: TenantId,
        update: str,
        conditions: list[str],
        values: Mapping[str, Any],
        names: Mapping[str, str],
        returned: Any = "NONE",
    ) -> Account | None:
        options: dict[str, Any] = {"ExpressionAttributeNames": names} if names else {}
        try:
            answer = self._client.update_item(
                TableName=self._table,
                Key=_key(tenant_id),
                UpdateExpression=update,
                ConditionExpression=" AND ".join(conditions),
                ExpressionAttributeValues=tables.to_item(values),
                ReturnValues=returned,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **options,
            )
        except Exception as error:
            if not tables.is_refused(error):
                raise
            image = tables.found(error)
            raise Refused(account_of(image) if image else None) from None
        return account_of(tables.from_item(answer["Attributes"])) if returned == "ALL_NEW" else None

    def waiting(self, position: str, now: int) -> Iterator[tuple[list[Account], str]]:
        """Pages of the accounts that have holds or something that has ended by `now`, as `every` gives them."""
        values = tables.to_item({":none": 0, ":now": now})
        return self._scan(position, " AND (size(hm) > :none OR nx <= :now)", values)

    def every(self, position: str) -> Iterator[tuple[list[Account], str]]:
        """Pages of all accounts, each with the position to go on from ("" after the last one).

        Reads the whole table: for the schedule and the command line alone.
        """
        return self._scan(position, "", {})

    def _scan(self, position: str, filter: str, values: Mapping[str, Any]) -> Iterator[tuple[list[Account], str]]:
        while True:
            options: dict[str, Any] = {}
            if position:
                options["ExclusiveStartKey"] = {"pk": {"S": position}, "sk": {"S": "0"}}
            page = self._client.scan(
                TableName=self._table,
                FilterExpression="begins_with(pk, :acc)" + filter,
                ExpressionAttributeValues={":acc": {"S": tables.platform_key("ACC", "")}, **values},
                ConsistentRead=True,
                **options,
            )
            position = page.get("LastEvaluatedKey", {}).get("pk", {}).get("S", "")
            yield [account_of(tables.from_item(item)) for item in page["Items"]], position
            if not position:
                return

    def position(self, job: Job) -> tuple[str, str]:
        """Where a job's last run stopped ("" if it came to the end), and the day that it was on."""
        answer = self._client.get_item(TableName=self._table, Key=_job_key(job))
        item = tables.from_item(answer.get("Item", {}))
        return str(item.get("position", "")), str(item.get("day", ""))

    def keep_position(self, job: Job, position: str, day: str = "") -> None:
        """Remember where a job is."""
        row = {"position": {"S": position}, "day": {"S": day}}
        self._client.put_item(TableName=self._table, Item=_job_key(job) | row)


def opening_item(account: Account) -> Item:
    """A new account as an item."""
    fixed = {"st": ACTIVE, "av": account.credits, "u": 0, "dbt": 0, "hm": {}, "v": account.version}
    return _turn_values(account) | fixed | {"pk": tables.tenant_key(account.tenant_id, "ACC"), "sk": "0"}


def turn_expression(before: Account, after: Account) -> tuple[list[str], dict[str, Any]]:
    """The SET parts and values (`:v` is the version read) that bring an account from `before` to `after`.

    Counters that start anew are set, whatever happened to them since; within a period the embedding tokens left move
    by their difference. So it commutes with the holds that are made and settled meanwhile.
    """
    old, new = _turn_values(before), _turn_values(after)
    fresh = {"qc", "et"} if before.period != after.period else set()
    if before.day_since != after.day_since:
        fresh.add("sd")
    values: dict[str, Any] = {":v": before.version, ":one": 1}
    sets = ["v = v + :one"]
    for name, value in new.items():
        if name in fresh or (value != old[name] and name != "et"):
            sets.append(f"{name} = :{name}")
            values[f":{name}"] = value
        elif value != old[name]:
            sets.append("et = et + :more")
            values[":more"] = value - old["et"]
    return sets, values


def _key(tenant_id: TenantId) -> dict[str, Any]:
    return tables.to_item({"pk": tables.tenant_key(tenant_id, "ACC"), "sk": "0"})


def _job_key(job: Job) -> dict[str, Any]:
    return tables.to_item({"pk": tables.platform_key(job), "sk": "0"})


def _turn_values(account: Account) -> Item:
    """What only turns and changes of limits replace (`qc` and `et` also move with every hold)."""
    return {
        "tz": account.timezone,
        "zn": account.next_timezone,
        "per": account.period,
        "ps": account.period_since,
        "dd": account.day,
        "ds": account.day_since,
        "nx": account.next_turn,
        "qc": account.chats_used,
        "ql": account.chat_grant.limit,
        "et": account.embedding_left,
        "el": account.embedding_grant.limit,
        "gr": {"c": list(account.chat_grant), "e": list(account.embedding_grant), "f": list(account.free_grant)},
        "cap": account.carry_over_cap,
        "lx": account.lots_end,
        "dl": account.site_daily_limit,
        "sd": dict(account.site_counts),
        "cc": account.concurrency,
        "ov": account.overage,
    }


def account_of(item: Item) -> Account:
    """The account that an item of `quotas` holds. One from before there were credits has none and gets its first when
    its limits are next applied."""
    item = BEFORE_CREDITS | item
    return Account(
        tenant_id=TenantId(item["pk"].partition("#")[2]),
        timezone=item["tz"],
        next_timezone=item["zn"],
        period=item["per"],
        period_since=item["ps"],
        day=item["dd"],
        day_since=item["ds"],
        next_turn=item["nx"],
        chat_grant=Grant(*item["gr"]["c"]),
        embedding_grant=Grant(*item["gr"]["e"]),
        free_grant=Grant(*item["gr"].get("f", (0, 0, 0))),
        carry_over_cap=item["cap"],
        lots_end=item["lx"],
        site_daily_limit=item["dl"],
        concurrency=item["cc"],
        active=item["st"] == ACTIVE,
        overage=item["ov"],
        chats_used=item["qc"],
        embedding_left=item["et"],
        site_counts=item["sd"],
        credits=item["av"],
        credits_used=item["u"],
        debt=item["dbt"],
        holds=item["hm"],
        version=item["v"],
    )
