"""What each event of Stripe's makes us look at. The event itself decides nothing."""

from __future__ import annotations

from collections.abc import Mapping

from noren.billing.settlement import Settlement
from noren.billing.stripe import Missing, Stripe


class Events:
    """Works queued events off. May be repeated, in any order; what storage and Stripe raise is to be tried again."""

    def __init__(self, settlement: Settlement, stripe: Stripe) -> None:
        self._settlement, self._stripe = settlement, stripe

    def apply(self, type: str, refs: Mapping[str, str]) -> None:
        """Look at what the event is about. An object that Stripe has forgotten is no trouble."""
        try:
            self._apply(type, refs)
        except Missing:
            return

    def _apply(self, type: str, refs: Mapping[str, str]) -> None:
        kind, _, _ = type.rpartition(".")
        match kind:
            case "checkout.session":
                self._session(refs)
            case "customer.subscription" if type.endswith("trial_will_end"):
                self._settlement.trial(refs["customer"])
            case "customer.subscription":
                self._settlement.customer(refs["customer"], refs["id"])
            case "customer":
                self._settlement.customer(refs["id"])
            case "invoice":
                if self._settlement.invoice(refs["id"]) is None and "customer" in refs:
                    self._renewed(type, refs)
            case "payment_intent":
                self._settlement.payment(refs["id"])
            case "charge":
                if "payment_intent" in refs:
                    self._settlement.payment(refs["payment_intent"])
            case "charge.dispute":
                self._settlement.dispute(refs["id"])
            case "setup_intent":
                self._default_card(refs)

    def _renewed(self, type: str, refs: Mapping[str, str]) -> None:
        if type == "invoice.payment_action_required":
            self._settlement.renewal(refs["customer"], refs["id"])
        else:
            self._settlement.customer(refs["customer"])

    def _session(self, refs: Mapping[str, str]) -> None:
        session = self._stripe.checkout(refs["id"])
        if session.mode == "subscription" and session.customer:
            self._settlement.customer(str(session.customer))
        elif session.payment_intent:
            self._settlement.payment(str(session.payment_intent))
        else:
            self._settlement.session(session)

    def _default_card(self, refs: Mapping[str, str]) -> None:
        """The first card that a customer saves is the one that is used."""
        if "customer" not in refs:
            return
        customer = self._stripe.customer(refs["customer"])
        settings = getattr(customer, "invoice_settings", None)
        if settings is None or settings.default_payment_method:
            return
        cards = self._stripe.cards(refs["customer"])
        if cards:
            self._stripe.set_default_card(refs["customer"], str(cards[-1].id))  # listed newest first
