"""What is written about payments: subject and body by kind and language. What happened, then what to do next."""

from __future__ import annotations

from typing import Literal, get_args

BillingNotice = Literal[
    "credits_bought",
    "purchase_failed",
    "invoice_sent",
    "auto_purchase_paid",
    "auto_purchase_failed",
    "auto_purchase_off",
    "auto_purchase_capped",
    "payment_action",
    "plan_past_due",
    "plan_changed",
    "plan_ended",
    "trial_ending",
    "payment_disputed",
]
"""What a tenant is told of by `insight.notices.Notices.billing`."""
BILLING_NOTICES: tuple[BillingNotice, ...] = get_args(BillingNotice)

_JA: dict[BillingNotice, tuple[str, str]] = {
    "credits_bought": (
        "クレジットを購入しました({credits})",
        "「{tenant}」に {credits} クレジットを追加しました。お支払いは {amount} です。\n\n"
        "残高と領収書はこちらで確認できます。\n{link}\n",
    ),
    "purchase_failed": (
        "クレジットのお支払いができませんでした",
        "「{tenant}」の {credits} クレジット({amount})のお支払いができませんでした。料金はかかっていません。\n"
        "理由: {why}\n\n"
        "別のカードで、もう一度お試しください。その後お支払いが済んでいる場合は、何もする必要はありません。\n{link}\n",
    ),
    "invoice_sent": (
        "請求書をお送りします({amount})",
        "「{tenant}」の {credits} クレジットの請求書({amount})を発行しました。お支払い期限は 30 日後です。\n"
        "クレジットは、ご入金を確認しだい追加します。\n\n請求書とお支払い方法はこちらです。\n{link}\n",
    ),
    "auto_purchase_paid": (
        "クレジットを自動で購入しました({credits})",
        "「{tenant}」の残高が少なくなったため、設定どおり {credits} クレジットを購入しました。\n"
        "お支払いは {amount} です。\n\n"
        "自動購入の設定はこちらで変えられます。\n{link}\n",
    ),
    "auto_purchase_failed": (
        "クレジットの自動購入ができませんでした",
        "「{tenant}」の自動購入で、お支払いができませんでした。料金はかかっていません。しばらくして、もう一度試します。\n"
        "理由: {why}\n\n"
        "クレジットがなくなる前に、カードをご確認ください。\n{link}\n",
    ),
    "auto_purchase_off": (
        "クレジットの自動購入を停止しました",
        "「{tenant}」の自動購入で、お支払いが 3 回続けてできなかったため、自動購入をオフにしました。\n"
        "理由: {why}\n\n"
        "カードを替えてから、自動購入をもう一度オンにしてください。\n{link}\n",
    ),
    "auto_purchase_capped": (
        "クレジットの自動購入が今月の上限に達しました",
        "「{tenant}」の自動購入は、今月の上限 {cap} クレジットに達しました。来月まで自動では購入しません。\n\n"
        "上限を上げるか、クレジットを購入してください。\n{link}\n",
    ),
    "payment_action": (
        "お支払いの確認が必要です({amount})",
        "「{tenant}」のお支払い {amount} について、カード会社がご本人の確認を求めています。\n"
        "確認が済むまで、お支払いは完了しません。\n\n"
        "24 時間以内に次のリンクを開き、画面の案内に沿って確認してください。\n{link}\n",
    ),
    "plan_past_due": (
        "「{tenant}」のプラン料金のお支払いができませんでした",
        "「{tenant}」の {plan} プランの料金をお支払いいただけませんでした。\n"
        "{until} までは今までどおり使えます。それを過ぎると無料プランの上限になります。\n\n"
        "カードを替えるか、お支払いをお願いします。お支払い後はすぐに元に戻ります。\n{link}\n",
    ),
    "plan_changed": (
        "プランが {plan} になりました",
        "「{tenant}」は {plan} プランになりました。新しい上限はもう有効です。\n\n"
        "プランの内容と請求書はこちらで確認できます。\n{link}\n",
    ),
    "plan_ended": (
        "「{tenant}」の有料プランが終了しました",
        "「{tenant}」の {plan} プランが終了し、無料プランになりました。\n"
        "データは消えません。上限を超えるメンバーは、休止中になります。\n\n"
        "プランはいつでも選び直せます。\n{link}\n",
    ),
    "trial_ending": (
        "無料お試し期間が {until} に終わります",
        "「{tenant}」の {plan} プランのお試し期間は {until} に終わります。\n"
        "その後は、登録したカードで料金をお支払いいただきます。\n\n"
        "続けない場合は、それまでに解約してください。\n{link}\n",
    ),
    "payment_disputed": (
        "お支払いに異議が申し立てられました",
        "「{tenant}」のお支払いについて、カード会社から異議の連絡がありました。\n"
        "解決するまで「{tenant}」は停止し、そのお支払いのクレジットは使えません。\n\n"
        "心当たりがない場合は、カード会社に取り下げをご連絡のうえ、このサービスの運営者にお知らせください。\n{link}\n",
    ),
}

_KO: dict[BillingNotice, tuple[str, str]] = {
    "credits_bought": (
        "크레딧을 구매했습니다({credits})",
        "'{tenant}'에 {credits} 크레딧을 추가했습니다. 결제 금액은 {amount}입니다.\n\n"
        "잔액과 영수증은 여기에서 확인할 수 있습니다.\n{link}\n",
    ),
    "purchase_failed": (
        "크레딧 결제가 되지 않았습니다",
        "'{tenant}'의 {credits} 크레딧({amount}) 결제가 되지 않았습니다. 청구된 금액은 없습니다.\n"
        "이유: {why}\n\n"
        "다른 카드로 다시 시도해 주세요. 그 뒤에 결제를 마치셨다면 아무것도 하지 않으셔도 됩니다.\n{link}\n",
    ),
    "invoice_sent": (
        "청구서를 보내 드립니다({amount})",
        "'{tenant}'의 {credits} 크레딧 청구서({amount})를 발행했습니다. 납부 기한은 30일 후입니다.\n"
        "크레딧은 입금이 확인되는 대로 추가됩니다.\n\n청구서와 납부 방법은 여기에 있습니다.\n{link}\n",
    ),
    "auto_purchase_paid": (
        "크레딧을 자동으로 구매했습니다({credits})",
        "'{tenant}'의 잔액이 얼마 남지 않아 설정대로 {credits} 크레딧을 구매했습니다. 결제 금액은 {amount}입니다.\n\n"
        "자동 구매 설정은 여기에서 바꿀 수 있습니다.\n{link}\n",
    ),
    "auto_purchase_failed": (
        "크레딧 자동 구매가 되지 않았습니다",
        "'{tenant}'의 자동 구매에서 결제가 되지 않았습니다. 청구된 금액은 없으며, 잠시 뒤에 다시 시도합니다.\n"
        "이유: {why}\n\n"
        "크레딧이 떨어지기 전에 카드를 확인해 주세요.\n{link}\n",
    ),
    "auto_purchase_off": (
        "크레딧 자동 구매를 중지했습니다",
        "'{tenant}'의 자동 구매에서 결제가 3번 연속 되지 않아 자동 구매를 껐습니다.\n"
        "이유: {why}\n\n"
        "카드를 바꾼 뒤 자동 구매를 다시 켜 주세요.\n{link}\n",
    ),
    "auto_purchase_capped": (
        "크레딧 자동 구매가 이번 달 한도에 도달했습니다",
        "'{tenant}'의 자동 구매가 이번 달 한도 {cap} 크레딧에 도달했습니다. 다음 달까지 자동으로 구매하지 않습니다.\n\n"
        "한도를 올리거나 크레딧을 구매해 주세요.\n{link}\n",
    ),
    "payment_action": (
        "결제 확인이 필요합니다({amount})",
        "'{tenant}'의 결제 {amount}에 대해 카드사가 본인 확인을 요청했습니다.\n"
        "확인을 마칠 때까지 결제는 완료되지 않습니다.\n\n"
        "24시간 안에 아래 링크를 열고 화면의 안내에 따라 확인해 주세요.\n{link}\n",
    ),
    "plan_past_due": (
        "'{tenant}'의 요금제 결제가 되지 않았습니다",
        "'{tenant}'의 {plan} 요금제 결제가 되지 않았습니다.\n"
        "{until}까지는 지금처럼 사용할 수 있고, 그 뒤에는 무료 요금제의 한도가 적용됩니다.\n\n"
        "카드를 바꾸거나 결제해 주세요. 결제하면 바로 원래대로 돌아갑니다.\n{link}\n",
    ),
    "plan_changed": (
        "요금제가 {plan}(으)로 바뀌었습니다",
        "'{tenant}'의 요금제가 {plan}(으)로 바뀌었습니다. 새 한도는 이미 적용되었습니다.\n\n"
        "요금제 내용과 청구서는 여기에서 확인할 수 있습니다.\n{link}\n",
    ),
    "plan_ended": (
        "'{tenant}'의 유료 요금제가 종료되었습니다",
        "'{tenant}'의 {plan} 요금제가 종료되어 무료 요금제가 적용됩니다.\n"
        "데이터는 지워지지 않습니다. 한도를 넘는 멤버는 휴면 상태가 됩니다.\n\n"
        "요금제는 언제든지 다시 선택할 수 있습니다.\n{link}\n",
    ),
    "trial_ending": (
        "무료 체험이 {until}에 끝납니다",
        "'{tenant}'의 {plan} 요금제 무료 체험이 {until}에 끝납니다. 그 뒤에는 등록한 카드로 요금이 결제됩니다.\n\n"
        "계속하지 않으시려면 그 전에 해지해 주세요.\n{link}\n",
    ),
    "payment_disputed": (
        "결제에 이의가 제기되었습니다",
        "'{tenant}'의 결제에 대해 카드사에서 이의 제기를 알려 왔습니다.\n"
        "해결될 때까지 '{tenant}'은(는) 정지되며, 그 결제의 크레딧은 사용할 수 없습니다.\n\n"
        "짐작 가는 일이 없으면 카드사에 취하를 요청하고 이 서비스의 운영자에게 알려 주세요.\n{link}\n",
    ),
}

_EN: dict[BillingNotice, tuple[str, str]] = {
    "credits_bought": (
        "{credits} credits bought",
        "{credits} credits have been added to {tenant}. You paid {amount}.\n\nBalance and receipts:\n{link}\n",
    ),
    "purchase_failed": (
        "Your payment for credits did not go through",
        "The payment of {amount} for {credits} credits of {tenant} did not go through. Nothing was charged.\n"
        "Reason: {why}\n\n"
        "Please try again with another card. If you have paid in the meantime, there is nothing to do.\n{link}\n",
    ),
    "invoice_sent": (
        "Your invoice for {amount}",
        "An invoice for {amount} has been issued for {credits} credits of {tenant}. It is due in 30 days.\n"
        "The credits are added as soon as it is paid.\n\nThe invoice and how to pay it:\n{link}\n",
    ),
    "auto_purchase_paid": (
        "{credits} credits bought automatically",
        "{tenant} was running low, so {credits} credits were bought as you have set. You paid {amount}.\n\n"
        "Change automatic purchases here:\n{link}\n",
    ),
    "auto_purchase_failed": (
        "An automatic purchase of credits did not go through",
        "An automatic payment for credits of {tenant} did not go through. Nothing was charged; we try again later.\n"
        "Reason: {why}\n\n"
        "Please check your card before the credits run out:\n{link}\n",
    ),
    "auto_purchase_off": (
        "Automatic purchases have been switched off",
        "Three automatic payments for credits of {tenant} in a row did not go through, so they are switched off now.\n"
        "Reason: {why}\n\n"
        "Please use another card, then switch automatic purchases on again:\n{link}\n",
    ),
    "auto_purchase_capped": (
        "Automatic purchases have reached this month's limit",
        "Automatic purchases of {tenant} have reached this month's limit of {cap} credits. "
        "None is made before next month.\n\n"
        "Raise the limit, or buy credits:\n{link}\n",
    ),
    "payment_action": (
        "Please confirm your payment of {amount}",
        "Your bank wants you to confirm the payment of {amount} for {tenant}. Until then it is not paid.\n\n"
        "Open this link within 24 hours and follow the steps:\n{link}\n",
    ),
    "plan_past_due": (
        "The plan of {tenant} could not be paid",
        "The {plan} plan of {tenant} could not be paid.\n"
        "Everything works as before until {until}, then the limits of the free plan apply.\n\n"
        "Please use another card or pay now; once paid, everything is back at once:\n{link}\n",
    ),
    "plan_changed": (
        "You are on the {plan} plan now",
        "{tenant} is on the {plan} plan now. Its limits are in force already.\n\nYour plan and invoices:\n{link}\n",
    ),
    "plan_ended": (
        "The paid plan of {tenant} has ended",
        "The {plan} plan of {tenant} has ended; the free plan applies.\n"
        "Nothing is deleted. Members beyond its limit are paused.\n\n"
        "You can choose a plan again at any time:\n{link}\n",
    ),
    "trial_ending": (
        "Your trial ends on {until}",
        "The trial of the {plan} plan of {tenant} ends on {until}. After that your card is charged.\n\n"
        "To stop, cancel before then:\n{link}\n",
    ),
    "payment_disputed": (
        "A payment has been disputed",
        "The bank has told us that a payment of {tenant} is disputed.\n"
        "Until that is settled, {tenant} is suspended and the credits of that payment can't be used.\n\n"
        "If this is a mistake, ask your bank to withdraw the dispute and tell the operator of this service:\n{link}\n",
    ),
}

BILLING_TEXTS = {
    (kind, locale): text for locale, texts in (("ja", _JA), ("ko", _KO), ("en", _EN)) for kind, text in texts.items()
}
"""`{tenant}`, `{link}` and what the kind tells of are filled in."""
