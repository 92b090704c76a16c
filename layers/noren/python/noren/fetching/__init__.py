"""The one way to fetch what somebody else named: crawler, outgoing webhooks, icons, link checks go through here."""
