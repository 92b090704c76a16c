"""The monthly bill, from what a chat was counted to take and the list prices that we know.

Prices are AWS's public ones for ap-northeast-1, in USD, as known on the date below: to be checked against the price
list before anybody relies on them. Models (tokens, GPU seconds) are not in it: each usage record carries its own.
"""

from __future__ import annotations

from bench.tables import table

AS_OF = "2026-11-20"
SECONDS = 10.0
"""Of one chat: assumed. Lambda bills the time that the function waits for its model."""
MEMORY_GB = 1.0
LOG_KB = 1.0
"""Log text of a chat: assumed (one access line, Lambda's own three)."""
KEPT_KB = 5.0
"""What a chat leaves behind: turn, record, idempotency: assumed, kept for a month in the mean."""
OUT_KB = 4.0

PER_MILLION = {"write units": 0.715, "read units": 0.1425, "Lambda requests": 0.20, "API Gateway requests": 4.25}
GB_SECOND = 0.0000133334
LOG_GB = 0.76
STORED_GB = 0.285 + 0.228
"""On demand and PITR."""
OUT_GB = 0.114
TRACE = 0.000005
TRACED = 0.05
WAF_PER_MILLION = 0.60
VOLUMES = (0, 10_000, 1_000_000, 100_000_000)


def monthly(chats: int, stage: str, reads: float, writes: float) -> dict[str, float]:
    """USD by service for that many chats a month."""
    prod = stage == "prod"
    millions = chats / 1e6
    return {
        "DynamoDB, units": millions * (writes * PER_MILLION["write units"] + reads * PER_MILLION["read units"]),
        "DynamoDB, stored": chats * KEPT_KB / 1e6 * STORED_GB,
        "Lambda": millions * PER_MILLION["Lambda requests"] + chats * SECONDS * MEMORY_GB * GB_SECOND,
        "API Gateway": millions * PER_MILLION["API Gateway requests"],
        "CloudWatch, X-Ray": chats * LOG_KB / 1e6 * LOG_GB + chats * TRACED * TRACE + (3.0 if prod else 0.0),
        "KMS": 1.0 + min(30.0, millions * 0.3),
        "Secrets Manager": 2 * 0.40,
        "SnapStart": 2 * MEMORY_GB * 0.0000015046 * 2_628_000 if prod else 0.0,
        "WAF": 5.0 + 6 * 1.0 + millions * WAF_PER_MILLION if prod else 0.0,
        "Data out": chats * OUT_KB / 1e6 * OUT_GB,
    }


def section(reads: float, writes: float) -> str:
    """The bill as Markdown."""
    parts = [
        "## The monthly bill",
        f"List prices of ap-northeast-1 as known on {AS_OF}, in USD, free tiers left out, **to be checked**; "
        f"models are not in it. A chat in a session takes {writes:g} write and {reads:g} read units (counted above), "
        f"and by assumption {SECONDS:g} s of a function of {MEMORY_GB:g} GB, {LOG_KB:g} KB of logs, {KEPT_KB:g} KB "
        f"kept, {OUT_KB:g} KB sent. Requests other than chats, sign-ups and mails are not in it.",
        f"Per million chats: {writes:g} × {PER_MILLION['write units']} + {reads:g} × {PER_MILLION['read units']} = "
        f"{monthly(10**6, 'dev', reads, writes)['DynamoDB, units']:.2f} for storage units; "
        f"{SECONDS:g} s × {MEMORY_GB:g} GB × {GB_SECOND} × 10⁶ + {PER_MILLION['Lambda requests']} = "
        f"{monthly(10**6, 'dev', reads, writes)['Lambda']:.2f} for Lambda; {PER_MILLION['API Gateway requests']} for "
        "API Gateway. Waiting for the model is by far the largest part: see `chat_seconds` and faster models.",
    ]
    for stage in ("dev", "prod"):
        bills = [monthly(chats, stage, reads, writes) for chats in VOLUMES]
        rows: list[list[object]] = [[name, *(f"{each[name]:,.2f}" for each in bills)] for name in bills[0]]
        rows.append(["**all**", *(f"**{sum(each.values()):,.2f}**" for each in bills)])
        parts += [f"### {stage}", table(["chats a month", *(f"{chats:,}" for chats in VOLUMES)], rows)]
    return "\n\n".join(parts)
