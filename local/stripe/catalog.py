"""What is sold: products, prices, coupons and promotion codes, tax rates."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from local.stripe.customers import deleted
from local.stripe.errors import Refusal, missing
from local.stripe.render import matching, page
from local.stripe.routes import Route
from local.stripe.world import Obj, World, merge_metadata

# Products


def create_product(world: World, given: Obj) -> Obj:
    """`POST /v1/products`."""
    identifier = given.get("id") or world.id("prod")
    if identifier in world.kinds.get("product", {}):
        raise Refusal(f"Product already exists: {identifier}", code="resource_already_exists", param="id")
    product: Obj = {
        "id": identifier,
        "object": "product",
        "active": given.get("active", True),
        "created": world.now(),
        "default_price": None,
        "description": given.get("description"),
        "images": given.get("images", []),
        "livemode": False,
        "marketing_features": given.get("marketing_features", []),
        "metadata": given.get("metadata", {}),
        "name": given["name"],
        "package_dimensions": None,
        "shippable": None,
        "statement_descriptor": given.get("statement_descriptor"),
        "tax_code": given.get("tax_code"),
        "type": "service",
        "unit_label": given.get("unit_label"),
        "updated": world.now(),
        "url": given.get("url"),
    }
    world.add(product)
    world.emit("product.created", product)
    if "default_price_data" in given:
        price = create_price(world, {**given["default_price_data"], "product": identifier})
        product["default_price"] = price["id"]
    return product


def update_product(world: World, given: Obj, product: str) -> Obj:
    """`POST /v1/products/{id}`."""
    found = world.get("product", product)
    with world.changing("product.updated", found):
        for name in ("active", "default_price", "description", "images", "name", "tax_code", "unit_label", "url"):
            if name in given:
                found[name] = None if given[name] == "" else given[name]
        merge_metadata(found, given.get("metadata"))
    return found


def retrieve_product(world: World, given: Obj, product: str) -> Obj:
    """`GET /v1/products/{id}`."""
    return world.get("product", product)


def search_products(world: World, given: Obj) -> Obj:
    """`GET /v1/products`."""
    found = matching(world.all("product"), given, "active", "url")
    if "ids" in given:
        found = [each for each in found if each["id"] in given["ids"]]
    return page(world, "/v1/products", found, given)


# Prices


def create_price(world: World, given: Obj) -> Obj:
    """`POST /v1/prices`."""
    if given.get("billing_scheme", "per_unit") != "per_unit":
        raise Refusal("The local Stripe stand-in does not know tiers.", code="local_not_supported")
    product = given.get("product")
    if product:
        world.get("product", product, "product")
    elif "product_data" in given:
        product = create_product(world, given["product_data"])["id"]
    else:
        raise Refusal("You must specify either product or product_data when creating a price.")
    key = given.get("lookup_key")
    holder = next((each for each in world.all("price") if key and each["lookup_key"] == key), None)
    if holder:
        if not given.get("transfer_lookup_key"):
            raise Refusal(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")
        with world.changing("price.updated", holder):
            holder["lookup_key"] = None
    price = _price(world, given, product) | {"lookup_key": key}
    world.add(price)
    world.emit("price.created", price)
    return price


def _price(world: World, given: Obj, product: str) -> Obj:
    unit, exact = given.get("unit_amount"), given.get("unit_amount_decimal")
    if unit is None and exact is None:
        raise Refusal("Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set.")
    decimal = Decimal(str(exact)) if exact is not None else Decimal(unit or 0)
    if decimal < 0:
        raise Refusal("Invalid non-negative integer", param="unit_amount", code="parameter_invalid_integer")
    recurring = given.get("recurring")
    if recurring:
        recurring = {
            "interval_count": 1,
            "meter": None,
            "trial_period_days": None,
            "usage_type": "licensed",
        } | recurring
        if recurring["meter"]:
            world.get("billing.meter", recurring["meter"], "recurring[meter]")
        elif recurring["usage_type"] == "metered":
            raise Refusal("A metered price must be backed by a meter.", param="recurring[meter]")
    return {
        "id": world.id("price"),
        "object": "price",
        "active": given.get("active", True),
        "billing_scheme": "per_unit",
        "created": world.now(),
        "currency": given["currency"].lower(),
        "custom_unit_amount": None,
        "livemode": False,
        "lookup_key": None,
        "metadata": given.get("metadata", {}),
        "nickname": given.get("nickname"),
        "product": product,
        "recurring": recurring,
        "tax_behavior": given.get("tax_behavior", "unspecified"),
        "tiers_mode": None,
        "transform_quantity": None,
        "type": "recurring" if recurring else "one_time",
        "unit_amount": int(decimal) if decimal == int(decimal) else None,
        "unit_amount_decimal": f"{decimal.normalize():f}",
    }


def inline_price(world: World, given: Obj) -> Obj:
    """The price of a `price_data`: kept, but inactive and not announced."""
    product = given.get("product")
    if not product:
        data = given.get("product_data")
        if not data:
            raise Refusal("Missing required param: price_data[product_data].", code="parameter_missing")
        product = create_product(world, data)["id"]
    price = _price(world, given, world.get("product", product, "price_data[product]")["id"])
    price["active"] = False
    return world.add(price)


def line_price(world: World, given: Obj, param: str) -> Obj:
    """The price that a line names by `price` or describes by `price_data`."""
    if "price" in given:
        price = world.get("price", given["price"], f"{param}[price]")
        if not price["active"]:
            raise Refusal(
                "The price specified is inactive. This field only accepts active prices.", param=f"{param}[price]"
            )
        return price
    if "price_data" in given:
        return inline_price(world, given["price_data"])
    raise Refusal(f"Missing required param: {param}[price].", code="parameter_missing", param=f"{param}[price]")


def update_price(world: World, given: Obj, price: str) -> Obj:
    """`POST /v1/prices/{id}`: its amount never changes."""
    found = world.get("price", price)
    key = given.get("lookup_key")
    holder = next((each for each in world.all("price") if key and each["lookup_key"] == key), found)
    if holder is not found:
        if not given.get("transfer_lookup_key"):
            raise Refusal(f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key")
        with world.changing("price.updated", holder):
            holder["lookup_key"] = None
    with world.changing("price.updated", found):
        for name in ("active", "nickname", "tax_behavior", "lookup_key"):
            if name in given:
                found[name] = None if given[name] == "" else given[name]
        merge_metadata(found, given.get("metadata"))
    return found


def retrieve_price(world: World, given: Obj, price: str) -> Obj:
    """`GET /v1/prices/{id}`."""
    return world.get("price", price)


def search_prices(world: World, given: Obj) -> Obj:
    """`GET /v1/prices`, by lookup keys and the like."""
    found = matching(world.all("price"), given, "active", "currency", "product", "type")
    if "lookup_keys" in given:
        found = [each for each in found if each["lookup_key"] in given["lookup_keys"]]
    wanted = given.get("recurring", {})
    found = [each for each in found if not wanted or wanted.items() <= (each["recurring"] or {}).items()]
    return page(world, "/v1/prices", found, given)


# Coupons and promotion codes


def create_coupon(world: World, given: Obj) -> Obj:
    """`POST /v1/coupons`."""
    if ("percent_off" in given) == ("amount_off" in given):
        raise Refusal("You must pass either percent_off or amount_off, not both.")
    coupon = {
        "id": given.get("id") or world.token(8),
        "object": "coupon",
        "amount_off": given.get("amount_off"),
        "created": world.now(),
        "currency": given.get("currency"),
        "duration": given.get("duration", "once"),
        "duration_in_months": given.get("duration_in_months"),
        "livemode": False,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": given.get("metadata") or {},
        "name": given.get("name"),
        "percent_off": given.get("percent_off"),
        "redeem_by": given.get("redeem_by"),
        "times_redeemed": 0,
        "valid": True,
    }
    world.add(coupon)
    world.emit("coupon.created", coupon)
    return coupon


def create_promotion_code(world: World, given: Obj) -> Obj:
    """`POST /v1/promotion_codes`."""
    coupon = given["promotion"].get("coupon", "")
    world.get("coupon", coupon, "promotion[coupon]")
    code = {
        "id": world.id("promo"),
        "object": "promotion_code",
        "active": given.get("active", True),
        "code": given.get("code") or world.token(8).upper(),
        "created": world.now(),
        "customer": given.get("customer"),
        "customer_account": None,
        "expires_at": given.get("expires_at"),
        "livemode": False,
        "max_redemptions": given.get("max_redemptions"),
        "metadata": given.get("metadata", {}),
        "promotion": {"coupon": coupon, "type": "coupon"},
        "restrictions": {
            "first_time_transaction": False,
            "minimum_amount": None,
            "minimum_amount_currency": None,
            **given.get("restrictions", {}),
        },
        "times_redeemed": 0,
    }
    world.add(code)
    world.emit("promotion_code.created", code)
    return code


def coupon_of(world: World, given: list[Obj] | None) -> Obj | None:
    """The coupon that `discounts` name directly or by a promotion code. Raises Refusal where it can't be used."""
    for each in given or []:
        code = world.get("promotion_code", each["promotion_code"], "discounts") if "promotion_code" in each else None
        identifier = code["promotion"]["coupon"] if code else each.get("coupon", "")
        coupon = world.get("coupon", identifier, "discounts[0][coupon]")
        for limited in filter(None, (code, coupon)):
            over = limited["max_redemptions"] is not None and limited["times_redeemed"] >= limited["max_redemptions"]
            until = limited.get("expires_at") or limited.get("redeem_by")
            if over or not limited.get("active", True) or (until and until < world.now()):
                raise Refusal("This promotion code cannot be redeemed.", code="promotion_code_invalid")
        return coupon
    return None


def code_typed(world: World, code: str) -> Obj:
    """The promotion code that a person typed. Raises Refusal if there is none."""
    for each in world.all("promotion_code"):
        if each["code"].lower() == code.strip().lower() and each["active"]:
            return each
    raise missing("promotion_code", code, "promotion_code")


def reduction(coupon: Obj | None, amount: int) -> int:
    """How much a coupon takes off an amount."""
    if coupon is None or amount <= 0:
        return 0
    if coupon["percent_off"] is not None:
        return min(amount, int(Decimal(str(coupon["percent_off"])) * amount / 100 + Decimal("0.5")))
    return min(amount, int(coupon["amount_off"]))


def _finder(kind: str) -> Any:
    def retrieve(world: World, given: Obj, identifier: str) -> Obj:
        return world.get(kind, identifier)

    return retrieve


def _lister(kind: str, path: str, *filters: str) -> Any:
    def search(world: World, given: Obj) -> Obj:
        return page(world, path, matching(world.all(kind), given, *filters), given)

    return search


def delete_coupon(world: World, given: Obj, coupon: str) -> Obj:
    """`DELETE /v1/coupons/{id}`."""
    found = world.get("coupon", coupon)
    world.remove(found)
    world.emit("coupon.deleted", found)
    return deleted("coupon", coupon)


def update_promotion_code(world: World, given: Obj, code: str) -> Obj:
    """`POST /v1/promotion_codes/{id}`."""
    found = world.get("promotion_code", code)
    with world.changing("promotion_code.updated", found):
        found["active"] = given.get("active", found["active"])
        merge_metadata(found, given.get("metadata"))
    return found


# Tax rates


def create_tax_rate(world: World, given: Obj) -> Obj:
    """`POST /v1/tax_rates`."""
    rate = {
        "id": world.id("txr"),
        "object": "tax_rate",
        "active": given.get("active", True),
        "country": given.get("country"),
        "created": world.now(),
        "description": given.get("description"),
        "display_name": given["display_name"],
        "effective_percentage": given["percentage"],
        "flat_amount": None,
        "inclusive": given["inclusive"],
        "jurisdiction": given.get("jurisdiction"),
        "jurisdiction_level": None,
        "livemode": False,
        "metadata": given.get("metadata", {}),
        "percentage": given["percentage"],
        "rate_type": "percentage",
        "state": None,
        "tax_type": given.get("tax_type"),
    }
    world.add(rate)
    world.emit("tax_rate.created", rate)
    return rate


ROUTES = [
    Route("POST", "/v1/products", create_product, "ProductCreateParams"),
    Route("GET", "/v1/products", search_products, "ProductListParams"),
    Route("GET", "/v1/products/{product}", retrieve_product, "ProductRetrieveParams"),
    Route("POST", "/v1/products/{product}", update_product, "ProductUpdateParams"),
    Route("POST", "/v1/prices", create_price, "PriceCreateParams"),
    Route("GET", "/v1/prices", search_prices, "PriceListParams"),
    Route("GET", "/v1/prices/{price}", retrieve_price, "PriceRetrieveParams"),
    Route("POST", "/v1/prices/{price}", update_price, "PriceUpdateParams"),
    Route("POST", "/v1/coupons", create_coupon, "CouponCreateParams"),
    Route("GET", "/v1/coupons", _lister("coupon", "/v1/coupons"), "CouponListParams"),
    Route("GET", "/v1/coupons/{identifier}", _finder("coupon"), "CouponRetrieveParams"),
    Route("DELETE", "/v1/coupons/{coupon}", delete_coupon, "CouponDeleteParams"),
    Route("POST", "/v1/promotion_codes", create_promotion_code, "PromotionCodeCreateParams"),
    Route(
        "GET",
        "/v1/promotion_codes",
        _lister("promotion_code", "/v1/promotion_codes", "code", "active", "customer"),
        "PromotionCodeListParams",
    ),
    Route("GET", "/v1/promotion_codes/{identifier}", _finder("promotion_code"), "PromotionCodeRetrieveParams"),
    Route("POST", "/v1/promotion_codes/{code}", update_promotion_code, "PromotionCodeUpdateParams"),
    Route("POST", "/v1/tax_rates", create_tax_rate, "TaxRateCreateParams"),
    Route("GET", "/v1/tax_rates", _lister("tax_rate", "/v1/tax_rates", "active", "inclusive"), "TaxRateListParams"),
    Route("GET", "/v1/tax_rates/{identifier}", _finder("tax_rate"), "TaxRateRetrieveParams"),
]
