"""The web application firewall in front of both APIs and the user pool (stage option `waf`)."""

from __future__ import annotations

from typing import Any

from aws_cdk import Stack
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from config import Stage

REQUESTS_PER_5_MINUTES = 3_000
"""From one address. The plans' own limits are per key and tenant; this one stops floods before they cost."""

MANAGED: dict[str, tuple[str, ...]] = {
    # Bodies of chats exceed 8 kB by design and hold whatever people write: our own limits and parsers judge them.
    "AWSManagedRulesCommonRuleSet": ("SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY"),
    "AWSManagedRulesKnownBadInputsRuleSet": (),
    "AWSManagedRulesAmazonIpReputationList": (),
}
"""AWS's rule groups, each with the rules that only count."""


class FirewallStack(Stack):
    """One WebACL; what it protects associates itself."""

    def __init__(self, scope: Construct, stage: Stage, **kwargs: Any) -> None:
        super().__init__(scope, f"Noren-{stage.name}-Firewall", **kwargs)
        acl = wafv2.CfnWebACL(
            self,
            "WebAcl",
            scope="REGIONAL",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_visibility("All"),
            rules=[self._flood(), *(self._managed(*each, 1 + at) for at, each in enumerate(MANAGED.items()))],
        )
        self.arn = acl.attr_arn

    def _flood(self) -> wafv2.CfnWebACL.RuleProperty:
        return wafv2.CfnWebACL.RuleProperty(
            name="Flood",
            priority=0,
            action=wafv2.CfnWebACL.RuleActionProperty(block={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                    aggregate_key_type="IP", limit=REQUESTS_PER_5_MINUTES
                )
            ),
            visibility_config=_visibility("Flood"),
        )

    def _managed(self, name: str, only_count: tuple[str, ...], priority: int) -> wafv2.CfnWebACL.RuleProperty:
        return wafv2.CfnWebACL.RuleProperty(
            name=name,
            priority=priority,
            override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
            statement=wafv2.CfnWebACL.StatementProperty(
                managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                    vendor_name="AWS",
                    name=name,
                    rule_action_overrides=[
                        wafv2.CfnWebACL.RuleActionOverrideProperty(
                            name=rule, action_to_use=wafv2.CfnWebACL.RuleActionProperty(count={})
                        )
                        for rule in only_count
                    ],
                )
            ),
            visibility_config=_visibility(name),
        )


def _visibility(name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=True
    )
