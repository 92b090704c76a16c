"""Stripe: the only caller of its SDK. Each write carries an idempotency key of ours, so that repeating it is one write.

Objects come back as the SDK's own, read anew: what an event carries is never trusted for its contents.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from noren.errors import Busy, NorenError, NotFound, Unprocessable, UpstreamFailed
from noren.ids import new_id

if TYPE_CHECKING:
    import stripe
    from stripe import Invoice as Invoice
    from stripe import PaymentIntent as PaymentIntent
    from stripe import PaymentMethod as PaymentMethod
    from stripe import Subscription as Subscription
    from stripe.checkout import Session as Session

API_VERSION = "2026-10-28.endive"
"""Pinned: another one may call the same thing by another name."""
TIMEOUT_SECONDS = 20.0

_log = logging.getLogger("noren.billing")


class PaymentRefused(NorenError):
    """The bank or Stripe refused the card. `detail` says what to do about it, in Stripe's own words."""

    def __init__(self, detail: str, *, reason: str, payment_intent_id: str = "") -> None:
        super().__init__(detail, code="payment_refused", reason=reason)
        self.status = 402
        self.reason = reason
        self.payment_intent_id = payment_intent_id


class Missing(NotFound):
    """Stripe knows no such object."""


class Stripe:
    """`api_key` is asked at the first call; `http_client` stands in for the network in tests."""

    def __init__(self, api_key: Callable[[], str], api_base: str = "", http_client: Any = None) -> None:
        self._api_key, self._api_base, self._http_client = api_key, api_base, http_client

    @cached_property
    def _v1(self) -> Any:
        import stripe

        key = self._api_key()
        if not key:
            raise UpstreamFailed("Payments are not set up: no Stripe key.", code="payments_off")
        if stripe.api_version != API_VERSION:
            raise RuntimeError(f"the Stripe SDK speaks {stripe.api_version}, not {API_VERSION}")
        return stripe.StripeClient(
            key,
            base_addresses={"api": self._api_base} if self._api_base else None,
            max_network_retries=2,
            http_client=self._http_client or stripe.RequestsClient(timeout=TIMEOUT_SECONDS),
        ).v1

    @property
    def is_live(self) -> bool:
        """Whether the key moves real money."""
        return self._api_key().startswith(("sk_live_", "rk_live_"))

    # -- customers and cards

    def make_customer(self, params: dict[str, Any], key: str) -> str:
        """A customer's id."""
        return str(self._write(self._v1.customers.create, params, key).id)

    def set_default_card(self, customer: str, payment_method: str) -> None:
        """Pay what comes by that card."""
        params = {"invoice_settings": {"default_payment_method": payment_method}}
        self._write(self._v1.customers.update, params, "", customer)

    def customer(self, customer: str) -> stripe.Customer:
        """Raises Missing for one that was never made; a deleted one says so."""
        return cast("stripe.Customer", self._read(lambda: self._v1.customers.retrieve(customer)))

    def make_setup_intent(self, customer: str, key: str) -> stripe.SetupIntent:
        """What a browser needs to save a card."""
        params = {"customer": customer, "usage": "off_session", "allowed_payment_method_types": ["card"]}
        return cast("stripe.SetupIntent", self._write(self._v1.setup_intents.create, params, key))

    def cards(self, customer: str) -> list[stripe.PaymentMethod]:
        """The saved cards."""
        listed = self._read(lambda: self._v1.customers.payment_methods.list(customer, {"type": "card", "limit": 100}))
        return list(listed.data)

    def card(self, payment_method: str) -> stripe.PaymentMethod:
        """One card."""
        return cast("stripe.PaymentMethod", self._read(lambda: self._v1.payment_methods.retrieve(payment_method)))

    def detach_card(self, payment_method: str) -> None:
        """Forget a card."""
        self._write(self._v1.payment_methods.detach, {}, "", payment_method)

    # -- prices, pages

    def price(self, lookup_key: str, name: str, amount: int, currency: str) -> str:
        """The monthly price of that key, made if there is none. Tax is in it."""
        found = self._read(lambda: self._v1.prices.list({"lookup_keys": [lookup_key], "limit": 1}))
        if found.data:
            return str(found.data[0].id)
        params = {
            "lookup_key": lookup_key,
            "unit_amount": amount,
            "currency": currency.lower(),
            "recurring": {"interval": "month"},
            "product_data": {"name": name},
            "tax_behavior": "inclusive",
        }
        return str(self._write(self._v1.prices.create, params, f"price-{lookup_key}").id)

    def make_checkout(self, params: dict[str, Any], key: str) -> stripe.checkout.Session:
        """A page of Stripe's to pay on."""
        return cast("stripe.checkout.Session", self._write(self._v1.checkout.sessions.create, params, key))

    def checkout(self, session: str) -> stripe.checkout.Session:
        """One session."""
        return cast("stripe.checkout.Session", self._read(lambda: self._v1.checkout.sessions.retrieve(session)))

    def make_portal(self, customer: str, return_url: str) -> str:
        """The address of a page of Stripe's to look after cards, invoices and the subscription."""
        params = {"customer": customer, "return_url": return_url}
        return str(self._write(self._v1.billing_portal.sessions.create, params, "").url)

    # -- subscriptions

    def make_subscription(self, params: dict[str, Any], key: str) -> stripe.Subscription:
        """A subscription, incomplete until it is paid."""
        expand = {"expand": ["latest_invoice.confirmation_secret"]}
        return cast("stripe.Subscription", self._write(self._v1.subscriptions.create, params | expand, key))

    def subscription(self, subscription: str) -> stripe.Subscription:
        """One subscription with its last invoice."""
        expand = {"expand": ["latest_invoice.confirmation_secret"]}
        return cast("stripe.Subscription", self._read(lambda: self._v1.subscriptions.retrieve(subscription, expand)))

    def subscriptions(self, customer: str) -> list[stripe.Subscription]:
        """All of the customer's, ended ones too, with their last invoices."""
        params = {"customer": customer, "status": "all", "limit": 100, "expand": ["data.latest_invoice"]}
        found: list[stripe.Subscription] = self._read(
            lambda: list(self._v1.subscriptions.list(params).auto_paging_iter())
        )
        return found

    def change_subscription(self, subscription: str, params: dict[str, Any], key: str = "") -> stripe.Subscription:
        """Change one."""
        expand = {"expand": ["latest_invoice.confirmation_secret"]}
        return cast(
            "stripe.Subscription", self._write(self._v1.subscriptions.update, params | expand, key, subscription)
        )

    def preview(self, params: dict[str, Any]) -> stripe.Invoice:
        """What a change would cost."""
        return cast("stripe.Invoice", self._read(lambda: self._v1.invoices.create_preview(params)))

    def change_at_period_end(self, subscription: stripe.Subscription, price: str) -> None:
        """Let the subscription go on with another price when its paid period is over."""
        item = subscription["items"].data[0]
        schedule = subscription.schedule
        if schedule is None:
            made = self._write(
                self._v1.subscription_schedules.create,
                {"from_subscription": subscription.id},
                f"schedule-{new_id('key')}",  # a change taken back and made again is another one
            )
            schedule = made.id
        now = {"items": [{"price": item.price.id, "quantity": 1}], "start_date": item.current_period_start}
        then = {"items": [{"price": price, "quantity": 1}], "proration_behavior": "none"}
        phases = [now | {"end_date": item.current_period_end}, then]
        params = {"end_behavior": "release", "phases": phases}
        self._write(self._v1.subscription_schedules.update, params, "", str(schedule))

    def drop_schedule(self, subscription: stripe.Subscription) -> None:
        """Take back a change that was to come at the period's end."""
        if subscription.schedule is not None:
            self._write(self._v1.subscription_schedules.release, {}, "", str(subscription.schedule))

    def schedule(self, schedule: str) -> stripe.SubscriptionSchedule:
        """A change that is to come."""
        expand = {"expand": ["phases.items.price"]}
        return cast(
            "stripe.SubscriptionSchedule",
            self._read(lambda: self._v1.subscription_schedules.retrieve(schedule, expand)),
        )

    # -- payments

    def pay(self, params: dict[str, Any], key: str) -> stripe.PaymentIntent:
        """One payment. Raises PaymentRefused where the card is refused."""
        return cast("stripe.PaymentIntent", self._write(self._v1.payment_intents.create, params, key))

    def cancel_payment(self, payment_intent: str) -> None:
        """Give a payment up; one that has come to an end stays as it is."""
        try:
            self._write(self._v1.payment_intents.cancel, {}, "", payment_intent)
        except UpstreamFailed:
            _log.info("payment %s can't be cancelled any more", payment_intent)

    def payment(self, payment_intent: str) -> stripe.PaymentIntent:
        """One payment with its charge."""
        expand = {"expand": ["latest_charge"]}
        return cast(
            "stripe.PaymentIntent", self._read(lambda: self._v1.payment_intents.retrieve(payment_intent, expand))
        )

    def payment_of(self, customer: str, order_id: str, since: int) -> str | None:
        """The customer's payment that was made for an order since then (epoch seconds), if there is one."""
        params = {"customer": customer, "created": {"gte": since}, "limit": 100}
        found = self._read(lambda: list(self._v1.payment_intents.list(params).auto_paging_iter()))
        named = (each for each in found if each.metadata and "order_id" in each.metadata)
        return next((str(each.id) for each in named if each.metadata["order_id"] == order_id), None)

    def refunds(self, payment_intent: str) -> list[stripe.Refund]:
        """A payment's refunds, the oldest first."""
        params = {"payment_intent": payment_intent, "limit": 100}
        found: list[stripe.Refund] = self._read(lambda: list(self._v1.refunds.list(params).auto_paging_iter()))
        return found[::-1]

    def disputes(self, payment_intent: str) -> list[stripe.Dispute]:
        """A payment's disputes, the oldest first."""
        params = {"payment_intent": payment_intent, "limit": 100}
        found: list[stripe.Dispute] = self._read(lambda: list(self._v1.disputes.list(params).auto_paging_iter()))
        return found[::-1]

    def charge(self, charge: str) -> stripe.Charge:
        """One charge."""
        return cast("stripe.Charge", self._read(lambda: self._v1.charges.retrieve(charge)))

    def dispute(self, dispute: str) -> stripe.Dispute:
        """One dispute."""
        return cast("stripe.Dispute", self._read(lambda: self._v1.disputes.retrieve(dispute)))

    # -- invoices

    def make_invoice(self, invoice: dict[str, Any], item: dict[str, Any], key: str) -> stripe.Invoice:
        """A company's invoice with one line, sent by mail."""
        made = self._write(self._v1.invoices.create, invoice, f"{key}-invoice")
        self._write(self._v1.invoice_items.create, item | {"invoice": made.id}, f"{key}-line")
        self._write(self._v1.invoices.finalize_invoice, {}, f"{key}-final", made.id)
        return cast("stripe.Invoice", self._write(self._v1.invoices.send_invoice, {}, f"{key}-send", made.id))

    def invoice(self, invoice: str) -> stripe.Invoice:
        """One invoice with its payments."""
        expand = {"expand": ["payments"]}
        return cast("stripe.Invoice", self._read(lambda: self._v1.invoices.retrieve(invoice, expand)))

    def invoice_of(self, payment_intent: str) -> str | None:
        """The invoice that a payment paid, if any."""
        params = {"payment": {"type": "payment_intent", "payment_intent": payment_intent}, "limit": 1}
        found = self._read(lambda: self._v1.invoice_payments.list(params))
        return str(found.data[0].invoice) if found.data else None

    # -- meters

    def report(self, event_name: str, customer: str, value: int, identifier: str, at: int) -> None:
        """One metered event; the same `identifier` counts once within a day. Later, Stripe has forgotten it."""
        params = {
            "event_name": event_name,
            "payload": {"stripe_customer_id": customer, "value": str(value)},
            "identifier": identifier,
            "timestamp": at,
        }
        try:
            self._write(self._v1.billing.meter_events.create, params, f"meter-{identifier}")
        except UpstreamFailed as error:
            import stripe

            # That it has been counted is all that Stripe refuses without saying a code or a parameter
            cause = error.__cause__
            if not isinstance(cause, stripe.InvalidRequestError) or cause.code or cause.param:
                raise

    def reported(self, meter: str, customer: str, start: int, end: int) -> int:
        """What Stripe has counted in [start, end), whole minutes."""
        params = {"customer": customer, "start_time": start, "end_time": end, "limit": 100}
        found = self._read(lambda: list(self._v1.billing.meters.event_summaries.list(meter, params).auto_paging_iter()))
        return int(sum(each.aggregated_value for each in found))

    # -- how calls are made

    def _write(self, call: Callable[..., Any], params: dict[str, Any], key: str, *ids: str) -> Any:
        options = {"options": {"idempotency_key": key}} if key else {}
        with _told():
            return call(*ids, params, **options)

    def _read(self, call: Callable[[], Any]) -> Any:
        with _told():
            return call()


def signed_at(body: bytes, signature: str, secret: str) -> int:
    """When an event was signed (epoch seconds). Raises ValueError where the signature is not by that secret."""
    import stripe

    try:
        stripe.WebhookSignature.verify_header(body.decode(), signature, secret, tolerance=None)
        return int(dict(part.split("=", 1) for part in signature.split(","))["t"])
    except (stripe.SignatureVerificationError, KeyError) as error:
        raise ValueError("the signature does not fit") from error


@contextmanager
def _told() -> Iterator[None]:
    """The SDK's errors as ours."""
    import stripe

    try:
        yield
    except stripe.CardError as error:
        body = cast("dict[str, Any]", error.json_body or {}).get("error", {})
        intent = (body.get("payment_intent") or {}).get("id", "")
        reason = str(body.get("decline_code") or error.code or "card_declined")
        raise PaymentRefused(
            error.user_message or "The card was refused.", reason=reason, payment_intent_id=intent
        ) from error
    except stripe.InvalidRequestError as error:
        if error.http_status == 404 or error.code == "resource_missing":
            raise Missing(f"The payment service knows no such {error.param or 'thing'}.") from error
        if error.code == "customer_tax_location_invalid":
            words = "Your address is not known yet. Pay on Stripe's page once, or enter it there."
            raise Unprocessable(words, code="address_needed") from error
        _log.error("Stripe refuses a request of ours: %s %s %s", error.code, error.param, error.request_id)
        raise UpstreamFailed("The payment service refused our request.", code="payment_rejected") from error
    except (stripe.RateLimitError, stripe.APIConnectionError) as error:
        raise Busy("The payment service does not answer just now. Please try again.", retry_after=5) from error
    except stripe.StripeError as error:
        _log.error("Stripe: %s %s %s", type(error).__name__, error.code, error.request_id)
        raise UpstreamFailed("The payment service has a problem. Please try again.", retry_after=10) from error
