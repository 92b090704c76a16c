"""Checkout Sessions: what is offered and what it costs. `paying` is what the hosted page leads to."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from local.stripe import catalog, payments
from local.stripe.errors import Refusal, unsupported
from local.stripe.lines import automatic_rate, item_amount, product_name, rounded, tax
from local.stripe.render import includes, listed, matching, page
from local.stripe.routes import Route
from local.stripe.world import DAY, Obj, World, clone, merge_metadata

_PLAIN = (
    "allow_promotion_codes",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer",
    "customer_creation",
    "customer_email",
    "locale",
    "payment_method_collection",
    "submit_type",
    "success_url",
    "allowed_payment_method_types",
)
_DATA = ("subscription_data", "payment_intent_data", "setup_intent_data", "customer_update")


def create(world: World, given: Obj) -> Obj:
    """`POST /v1/checkout/sessions`."""
    mode = given.get("mode")
    if mode is None:
        raise Refusal("Missing required param: mode.", code="parameter_missing", param="mode")
    customer = _check(world, given, mode)
    lines = [_line(world, each, mode, at) for at, each in enumerate(given.get("line_items") or [])]
    now = world.now()
    expires = given.get("expires_at", now + DAY)
    if not now + 1800 <= expires <= now + DAY:
        raise Refusal(
            "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from Checkout"
            " Session creation.",
            param="expires_at",
        )
    coupon = catalog.coupon_of(world, given.get("discounts"))
    automatic = bool((given.get("automatic_tax") or {}).get("enabled"))
    identifier = world.id("cs_test")
    session: Obj = {
        "id": identifier,
        "object": "checkout.session",
        "adaptive_pricing": None,
        "after_expiration": None,
        "allow_promotion_codes": None,
        "amount_subtotal": None,
        "amount_total": None,
        "automatic_tax": {
            "enabled": automatic,
            "liability": {"type": "self"} if automatic else None,
            "provider": "stripe" if automatic else None,
            "status": ("complete" if _located(customer) else "requires_location_inputs") if automatic else None,
        },
        "billing_address_collection": None,
        "client_secret": None,
        "collected_information": None,
        "consent": None,
        "consent_collection": None,
        "created": now,
        "currency": lines[0]["currency"] if lines else given.get("currency"),
        "currency_conversion": None,
        "custom_fields": [],
        "custom_text": {},
        "customer_account": None,
        "customer_creation": None if customer else "if_required" if mode == "payment" else "always",
        "customer_details": _details(customer, given),
        "discounts": [{"coupon": None, "promotion_code": None} | each for each in given.get("discounts", [])],
        "expires_at": expires,
        "invoice": None,
        "invoice_creation": {"enabled": False, "invoice_data": {}} | given.get("invoice_creation", {})
        if mode == "payment"
        else None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "mode": mode,
        "payment_intent": None,
        "payment_link": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {},
        "payment_method_types": given.get("allowed_payment_method_types")
        or (["card", "konbini"] if mode == "payment" else ["card"]),
        "payment_status": "unpaid",
        "phone_number_collection": {"enabled": False},
        "recovered_from": None,
        "return_url": None,
        "setup_intent": None,
        "shipping_address_collection": None,
        "shipping_cost": None,
        "shipping_options": [],
        "status": "open",
        "subscription": None,
        "tax_id_collection": {"enabled": False, "required": "never"} | given.get("tax_id_collection", {}),
        "total_details": None,
        "ui_mode": "hosted_page",
        "url": f"{world.url}/c/pay/{identifier}",
        "wallet_options": None,
        "_lines": lines,
        "_coupon": coupon["id"] if coupon else None,
    }
    session |= {name: given.get(name, session.get(name)) for name in _PLAIN}
    session |= {f"_{name}": given.get(name) or {} for name in _DATA}
    reckon(world, session)
    if mode == "setup" or (mode == "subscription" and not session["amount_total"]):
        session["payment_status"] = "no_payment_required"
    if mode == "payment":
        payments.check_amount(session["amount_total"], session["currency"])
    world.add(session)
    world.at(expires, _expire, identifier)
    return session


def _check(world: World, given: Obj, mode: str) -> Obj | None:
    """The rules between parameters. Returns the customer."""
    if given.get("ui_mode", "hosted_page") != "hosted_page":
        raise unsupported(f"ui_mode {given['ui_mode']}")
    if "success_url" not in given:
        raise Refusal("Missing required param: success_url.", code="parameter_missing", param="success_url")
    for name in ("success_url", "cancel_url"):
        if name in given and not given[name].startswith(("http://", "https://")):
            raise Refusal("Not a valid URL", code="url_invalid", param=name)
    if mode == "setup":
        if "line_items" in given:
            raise Refusal("You can not pass `line_items` in `setup` mode.", param="line_items")
        if "currency" not in given and "allowed_payment_method_types" not in given:
            raise Refusal("You must provide `currency` in `setup` mode.", param="currency", code="parameter_missing")
    elif not given.get("line_items"):
        raise Refusal(f"The `line_items` parameter is required in {mode} mode.", param="line_items")
    for name, only in (
        ("subscription_data", "subscription"),
        ("payment_intent_data", "payment"),
        ("invoice_creation", "payment"),
        ("setup_intent_data", "setup"),
    ):
        if name in given and mode != only:
            raise Refusal(f"You can not pass `{name}` in `{mode}` mode.", param=name)
    if "customer" in given and "customer_email" in given:
        raise Refusal("You may only specify one of these parameters: customer, customer_email.")
    if given.get("allow_promotion_codes") and "discounts" in given:
        raise Refusal("You may only specify one of these parameters: allow_promotion_codes, discounts.")
    if "customer" not in given:
        return None
    customer = world.get("customer", given["customer"], "customer")
    updates = given.get("customer_update") or {}
    if (given.get("tax_id_collection") or {}).get("enabled") and updates.get("name") != "auto":
        raise Refusal(
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection"
            " for an existing customer, please set `customer_update[name]` to `auto`."
        )
    automatic = (given.get("automatic_tax") or {}).get("enabled")
    if automatic and not _located(customer) and "auto" not in (updates.get("address"), updates.get("shipping")):
        raise Refusal(
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to the"
            " Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]` to 'auto' to"
            " save the address entered in Checkout to the Customer.",
            code="customer_tax_location_invalid",
        )
    return customer


def _located(customer: Obj | None) -> bool:
    return bool(((customer or {}).get("address") or {}).get("country"))


def _details(customer: Obj | None, given: Obj) -> Obj | None:
    email = customer["email"] if customer else given.get("customer_email")
    if not customer and not email:
        return None
    return {
        "address": None,
        "business_name": None,
        "email": email,
        "individual_name": None,
        "name": customer["name"] if customer else None,
        "phone": None,
        "tax_exempt": "none",
        "tax_ids": None,
    }


def _line(world: World, given: Obj, mode: str, at: int) -> Obj:
    price = catalog.line_price(world, given, f"line_items[{at}]")
    if price["recurring"] and mode == "payment":
        raise Refusal(
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode"
            " or use only one-time prices."
        )
    quantity = given.get("quantity")
    metered = (price["recurring"] or {}).get("usage_type") == "metered"
    if quantity is None and not metered:
        raise Refusal(
            f"Quantity is required. Add `quantity` to `line_items[{at}]`", param=f"line_items[{at}][quantity]"
        )
    amount = 0 if metered else item_amount(price, quantity or 0)
    return {
        "id": world.id("li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": product_name(world, price),
        "discounts": [],
        "metadata": given.get("metadata", {}),
        "price": clone(price),
        "quantity": quantity,
        "taxes": [],
        "_rates": given.get("tax_rates", []),
    }


def reckon(world: World, session: Obj) -> None:
    """The amounts, with discount and tax. During a trial recurring prices cost nothing."""
    lines: list[Obj] = session["_lines"]
    coupon = world.objects.get(session["_coupon"] or "")
    data = session["_subscription_data"]
    trial = bool(data.get("trial_period_days") or data.get("trial_end"))
    automatic = session["automatic_tax"]["status"] == "complete"
    for each in lines:
        free = trial and each["price"]["recurring"]
        each["amount_subtotal"] = 0 if free else item_amount(each["price"], each["quantity"] or 0)
    whole = sum(each["amount_subtotal"] for each in lines)
    off = left = catalog.reduction(coupon, whole)
    for each in lines:
        share = left if each is lines[-1] else rounded_share(off, each["amount_subtotal"], whole)
        left -= share
        rates = [automatic_rate(world)] if automatic else [world.get("tax_rate", name) for name in each["_rates"]]
        behaves = each["price"]["tax_behavior"] == "inclusive"
        taxes = [
            tax(rate, each["amount_subtotal"] - share, inclusive=behaves if automatic else rate["inclusive"])
            for rate in rates
        ]
        added = sum(one["amount"] for one in taxes if one["tax_behavior"] == "exclusive")
        each |= {
            "amount_discount": share,
            "amount_tax": sum(one["amount"] for one in taxes),
            "amount_total": each["amount_subtotal"] - share + added,
            "_added": added,
        }
    if session["mode"] != "setup":
        session["amount_subtotal"] = whole
        session["amount_total"] = sum(each["amount_total"] for each in lines)
        session["total_details"] = {
            "amount_discount": off,
            "amount_shipping": 0,
            "amount_tax": sum(each["amount_tax"] for each in lines),
        }


def rounded_share(off: int, part: int, whole: int) -> int:
    """A line's share of a discount."""
    return rounded(Decimal(off * part) / whole) if whole else 0


def use_code(world: World, session: Obj, code: str) -> None:
    """Put a promotion code that the person typed on the session. Raises Refusal if it can't be used."""
    promotion = catalog.code_typed(world, code)
    coupon = catalog.coupon_of(world, [{"promotion_code": promotion["id"]}])
    session["_coupon"] = coupon["id"] if coupon else None
    session["discounts"] = [{"coupon": None, "promotion_code": promotion["id"]}]
    reckon(world, session)


def _expire(world: World, identifier: str) -> None:
    session = world.objects[identifier]
    if session["status"] == "open":
        session |= {"status": "expired", "url": None}
        world.emit("checkout.session.expired", session)


def expire(world: World, given: Obj, session: str) -> Obj:
    """`POST /v1/checkout/sessions/{id}/expire`."""
    found = world.get("checkout.session", session)
    if found["status"] != "open":
        raise Refusal(
            f'Only Checkout Sessions with a status in ["open"] can be expired. This Checkout Session has a'
            f" status of `{found['status']}`."
        )
    _expire(world, session)
    return found


def update(world: World, given: Obj, session: str) -> Obj:
    """`POST /v1/checkout/sessions/{id}`."""
    found = world.get("checkout.session", session)
    merge_metadata(found, given.get("metadata"))
    return found


def retrieve(world: World, given: Obj, session: str) -> Obj:
    """`GET /v1/checkout/sessions/{id}`."""
    return world.get("checkout.session", session)


def search(world: World, given: Obj) -> Obj:
    """`GET /v1/checkout/sessions`."""
    found = matching(world.all("checkout.session"), given, "customer", "payment_intent", "status", "subscription")
    return page(world, "/v1/checkout/sessions", found, given)


def line_items(world: World, given: Obj, session: str) -> Obj:
    """`GET /v1/checkout/sessions/{id}/line_items`."""
    found = world.get("checkout.session", session)["_lines"]
    limit = given.get("limit", 10)
    return listed(f"/v1/checkout/sessions/{session}/line_items", found[:limit], has_more=len(found) > limit)


@includes("checkout.session", "line_items")
def _line_items(world: World, session: Obj) -> Any:
    return clone(line_items(world, {}, session["id"]))


ROUTES = [
    Route("POST", "/v1/checkout/sessions", create, "checkout.SessionCreateParams"),
    Route("GET", "/v1/checkout/sessions", search, "checkout.SessionListParams"),
    Route("GET", "/v1/checkout/sessions/{session}", retrieve, "checkout.SessionRetrieveParams"),
    Route("POST", "/v1/checkout/sessions/{session}", update, "checkout.SessionUpdateParams"),
    Route("POST", "/v1/checkout/sessions/{session}/expire", expire, "checkout.SessionExpireParams"),
    Route("GET", "/v1/checkout/sessions/{session}/line_items", line_items, "checkout.SessionLineItemListParams"),
]
