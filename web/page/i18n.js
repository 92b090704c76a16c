// @ts-check
// Texts in Japanese, Korean and English. `{name}` is filled in.

const EN = {
  name: "English", language: "Language", skip: "Skip to the message box", chat: "Chat", conversation: "Conversation",
  message: "Message", hint: "Ask anything", send: "Send", stop: "Stop", fresh: "New conversation", mailbox: "Mailbox",
  caution: "AI answers can be wrong. Check what matters.",
  toChat: "Chat", close: "Close", working: "One moment…",
  signIn: "Sign in", signUp: "Create account", signOut: "Sign out", tenant: "Workspace",
  hello: "What can we help with?",
  helloGuest: "Try it now, no account needed.", helloMember: "Answers come from the model of your plan.",
  example1: "What is Noren?", example2: "How many chats does the free plan include?", example3: "What does the starter plan cost?",
  left: "{left} of {limit} chats left", resets: "renews {date}", guest: "Guest", suspended: "This workspace is suspended.",
  you: "You", assistant: "Noren", writing: "Writing an answer…", answered: "Answer: {answer}", stopped: "Stopped.",
  sources: "Sources ({count})", tokens: "{input} in, {output} out tokens", fallback: "fallback",
  canned: "prepared answer", model: "Model", tokensUsed: "Tokens", cost: "Cost", duration: "Time", trace: "Trace id", route: "Route",
  rate: "How good was this answer?", stars: "{count} of 5", thanks: "Thank you.", retry: "Try again",
  totp: "Administrator functions stay locked until you enrol an authenticator app (TOTP) for this account.",
  inviteSignIn: "You have been invited to a workspace. Sign in or create an account with the invited address to accept.",
  inviteAccept: "Accept the invitation", inviteDone: "Welcome! You are now a member.", inviteOffer: "You have been invited to a workspace.",
  signInFailed: "Sign-in did not work. Please try once more.", sessionOver: "Your sign-in has ended. Please sign in again.",
  quota_exceeded: "This month's chats are used up.", quotaPlan: "The {plan} plan would fit: {price} a month.",
  quotaResets: "They renew on {date}.", quotaGuest: "Today's free questions are used up. Sign in to go on.", upgrade: "See the plan",
  network: "No connection. Check your network, then try again.", rate_limited: "Too many questions at once. Wait {seconds} seconds, then try again.",
  busy: "All models are busy just now. Wait {seconds} seconds, then try again.",
  upstream_failed: "The model did not answer. Nothing was charged. Wait {seconds} seconds, then try again.",
  timed_out: "This took too long. Try again, perhaps with a shorter question.", too_large: "The message is too long. Shorten it.",
  in_progress: "This question is still being answered. Try again in a moment.",
  training: "Training", billing: "Plan and credits", payPlan: "Pay now", pastDueMember: "Please tell an owner of this workspace.",
  pastDue: "Your plan could not be paid. Everything works as before until {date}; then the limits of the free plan apply.",
  pastDueOver: "Your plan could not be paid, so the limits of the free plan apply. Once it is paid, everything is back at once.",
  stopBilling: "This workspace is stopped because a payment is disputed. Ask your bank to withdraw the dispute, or write to the operator of this service.",
  membership_frozen: "Your access to that workspace is paused: its plan has fewer seats than members. Ask its owner or an admin.",
  modelOfPlan: "Model of the plan",
  cutAtLimit: "The answer reached its length limit.",
  bad_gateway: "The service did not answer. Try again in a moment.",
  unauthenticated: "Please sign in again.", forbidden: "Your role does not allow this. Ask the owner of the workspace.",
  suspendedHelp: "This workspace is suspended. Its owner can find out why.", model_not_in_plan: "Your plan does not include this model.",
  invalid_request: "The request was not understood: {detail}", unknown: "Something went wrong: {detail}", broken: "The answer broke off. What has arrived is shown.",
};

/** @type {Record<string, typeof EN>} */
const TEXTS = {
  en: EN,
  ja: {
    name: "日本語", language: "言語", skip: "入力欄へ移動", chat: "チャット", conversation: "会話",
    message: "メッセージ", hint: "質問を入力してください", send: "送信", stop: "停止", fresh: "新しい会話", mailbox: "受信箱",
    caution: "AIの回答は誤ることがあります。大切なことはご確認ください。",
    toChat: "チャット", close: "閉じる", working: "お待ちください…",
    signIn: "ログイン", signUp: "新規登録", signOut: "ログアウト", tenant: "ワークスペース",
    hello: "何をお手伝いしましょうか?",
    helloGuest: "登録なしでお試しいただけます。", helloMember: "ご契約プランのモデルがお答えします。",
    example1: "Norenとは何ですか?", example2: "無料プランで何回チャットできますか?", example3: "スタータープランの料金は?",
    left: "残り {left} / {limit} 回", resets: "{date} に更新", guest: "ゲスト", suspended: "このワークスペースは停止中です。",
    you: "あなた", assistant: "Noren", writing: "回答を作成しています…", answered: "回答: {answer}", stopped: "停止しました。",
    sources: "参照元 ({count})", tokens: "入力 {input} / 出力 {output} トークン", fallback: "代替モデル",
    canned: "定型回答", model: "モデル", tokensUsed: "トークン", cost: "費用", duration: "所要時間", trace: "トレースID", route: "経路",
    rate: "この回答はいかがでしたか?", stars: "5点中{count}点", thanks: "ありがとうございます。", retry: "もう一度試す",
    totp: "認証アプリ(TOTP)を登録するまで、管理者機能は使えません。",
    inviteSignIn: "ワークスペースに招待されています。招待されたアドレスでログインまたは新規登録してください。",
    inviteAccept: "招待を受ける", inviteDone: "ようこそ。メンバーになりました。", inviteOffer: "ワークスペースに招待されています。",
    signInFailed: "ログインできませんでした。もう一度お試しください。", sessionOver: "ログインの有効期限が切れました。もう一度ログインしてください。",
    quota_exceeded: "今月のチャット回数を使い切りました。", quotaPlan: "{plan} プラン(月額 {price})なら続けられます。",
    quotaResets: "{date} に更新されます。", quotaGuest: "本日の無料回数を使い切りました。ログインすると続けられます。", upgrade: "プランを見る",
    network: "接続できません。ネットワークを確認して、もう一度お試しください。", rate_limited: "質問が多すぎます。{seconds}秒待ってからお試しください。",
    busy: "ただいま混み合っています。{seconds}秒待ってからお試しください。",
    upstream_failed: "モデルが応答しませんでした。料金はかかっていません。{seconds}秒待ってからお試しください。",
    timed_out: "時間がかかりすぎました。質問を短くしてお試しください。", too_large: "メッセージが長すぎます。短くしてください。",
    in_progress: "この質問は処理中です。少し待ってからお試しください。",
    training: "学習", billing: "プランとクレジット", payPlan: "支払う", pastDueMember: "ワークスペースの所有者にお知らせください。",
    pastDue: "プラン料金のお支払いができませんでした。{date} までは今までどおり使えます。その後は無料プランの上限になります。",
    pastDueOver: "プラン料金のお支払いがないため、無料プランの上限になっています。お支払い後は、すぐに元に戻ります。",
    stopBilling: "お支払いに異議が申し立てられているため、このワークスペースは停止中です。カード会社に取り下げを依頼するか、このサービスの運営者にご連絡ください。",
    membership_frozen: "そのワークスペースの利用は休止中です。プランの人数よりメンバーが多いためです。所有者か管理者にご相談ください。",
    modelOfPlan: "プランのモデル",
    cutAtLimit: "回答は長さの上限に達しました。",
    bad_gateway: "サービスが応答しませんでした。少し待ってからお試しください。",
    unauthenticated: "もう一度ログインしてください。", forbidden: "権限がありません。ワークスペースの所有者にご相談ください。",
    suspendedHelp: "このワークスペースは停止中です。所有者にご確認ください。", model_not_in_plan: "ご契約プランではこのモデルを使えません。",
    invalid_request: "リクエストを理解できませんでした: {detail}", unknown: "問題が発生しました: {detail}", broken: "回答が途中で途切れました。届いた分を表示しています。",
  },
  ko: {
    name: "한국어", language: "언어", skip: "입력란으로 이동", chat: "채팅", conversation: "대화",
    message: "메시지", hint: "질문을 입력하세요", send: "보내기", stop: "중지", fresh: "새 대화", mailbox: "메일함",
    caution: "AI의 답변은 틀릴 수 있습니다. 중요한 내용은 확인하세요.",
    toChat: "채팅", close: "닫기", working: "잠시만 기다려 주세요…",
    signIn: "로그인", signUp: "회원 가입", signOut: "로그아웃", tenant: "워크스페이스",
    hello: "무엇을 도와드릴까요?",
    helloGuest: "가입 없이 체험할 수 있습니다.", helloMember: "이용 중인 요금제의 모델이 답변합니다.",
    example1: "Noren은 어떤 플랫폼인가요?", example2: "무료 플랜은 채팅을 몇 회 포함하나요?", example3: "스타터 플랜은 얼마인가요?",
    left: "{left} / {limit}회 남음", resets: "{date} 갱신", guest: "게스트", suspended: "이 워크스페이스는 정지되었습니다.",
    you: "나", assistant: "Noren", writing: "답변을 작성하고 있습니다…", answered: "답변: {answer}", stopped: "중지했습니다.",
    sources: "출처 ({count})", tokens: "입력 {input} / 출력 {output} 토큰", fallback: "대체 모델",
    canned: "준비된 답변", model: "모델", tokensUsed: "토큰", cost: "비용", duration: "소요 시간", trace: "추적 ID", route: "경로",
    rate: "이 답변은 어땠나요?", stars: "5점 중 {count}점", thanks: "감사합니다.", retry: "다시 시도",
    totp: "인증 앱(TOTP)을 등록할 때까지 관리자 기능을 사용할 수 없습니다.",
    inviteSignIn: "워크스페이스에 초대되었습니다. 초대받은 주소로 로그인하거나 가입하세요.",
    inviteAccept: "초대 수락", inviteDone: "환영합니다. 이제 멤버입니다.", inviteOffer: "워크스페이스에 초대되었습니다.",
    signInFailed: "로그인하지 못했습니다. 다시 시도해 주세요.", sessionOver: "로그인이 만료되었습니다. 다시 로그인해 주세요.",
    quota_exceeded: "이번 달 채팅 횟수를 모두 사용했습니다.", quotaPlan: "{plan} 요금제(월 {price})라면 계속할 수 있습니다.",
    quotaResets: "{date}에 갱신됩니다.", quotaGuest: "오늘의 무료 질문을 모두 사용했습니다. 로그인하면 계속할 수 있습니다.", upgrade: "요금제 보기",
    network: "연결되지 않았습니다. 네트워크를 확인한 뒤 다시 시도하세요.", rate_limited: "질문이 너무 많습니다. {seconds}초 뒤에 다시 시도하세요.",
    busy: "지금은 모델이 모두 바쁩니다. {seconds}초 뒤에 다시 시도하세요.",
    upstream_failed: "모델이 응답하지 않았습니다. 요금은 청구되지 않았습니다. {seconds}초 뒤에 다시 시도하세요.",
    timed_out: "시간이 너무 오래 걸렸습니다. 질문을 줄여 다시 시도하세요.", too_large: "메시지가 너무 깁니다. 줄여 주세요.",
    in_progress: "이 질문은 아직 처리 중입니다. 잠시 뒤에 다시 시도하세요.",
    training: "학습", billing: "요금제와 크레딧", payPlan: "결제하기", pastDueMember: "워크스페이스 소유자에게 알려 주세요.",
    pastDue: "요금제 결제가 되지 않았습니다. {date}까지는 지금처럼 사용할 수 있고, 그 뒤에는 무료 요금제의 한도가 적용됩니다.",
    pastDueOver: "요금제가 결제되지 않아 무료 요금제의 한도가 적용되었습니다. 결제하면 바로 원래대로 돌아갑니다.",
    stopBilling: "결제에 이의가 제기되어 이 워크스페이스는 정지되었습니다. 카드사에 취하를 요청하거나 이 서비스의 운영자에게 문의하세요.",
    membership_frozen: "그 워크스페이스의 이용이 휴면 상태입니다. 요금제의 인원보다 멤버가 많기 때문입니다. 소유자나 관리자에게 문의하세요.",
    modelOfPlan: "요금제의 모델",
    cutAtLimit: "답변이 길이 한도에 도달했습니다.",
    bad_gateway: "서비스가 응답하지 않았습니다. 잠시 뒤에 다시 시도하세요.",
    unauthenticated: "다시 로그인해 주세요.", forbidden: "권한이 없습니다. 워크스페이스 소유자에게 문의하세요.",
    suspendedHelp: "이 워크스페이스는 정지되었습니다. 소유자에게 문의하세요.", model_not_in_plan: "이용 중인 요금제에서는 이 모델을 쓸 수 없습니다.",
    invalid_request: "요청을 이해하지 못했습니다: {detail}", unknown: "문제가 발생했습니다: {detail}", broken: "답변이 도중에 끊겼습니다. 받은 부분만 표시합니다.",
  },
};

const CHOICE = "noren.language";
export const LANGUAGES = Object.entries(TEXTS).map(([code, texts]) => ({ code, name: texts.name }));

/** The language in use: chosen before, else the browser's first that we speak. */
export let language = [localStorage.getItem(CHOICE), ...navigator.languages.map((tag) => tag.slice(0, 2)), "en"].find(
  (code) => code !== null && code in TEXTS,
) ?? "en";

/** @param {string} code */
export function speak(code) {
  language = code;
  localStorage.setItem(CHOICE, code);
}

/** @param {string} key */
export const has = (key) => key in TEXTS.en;
export const keys = Object.keys(EN);

/**
 * Add the texts of a page of its own.
 * @param {Record<string, Record<string, string>>} texts by language
 */
export function teach(texts) {
  for (const [code, more] of Object.entries(texts)) Object.assign(TEXTS[code], more);
}

/**
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = /** @type {Record<string, string>} */ (TEXTS[language])[key];
  return text.replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
}

/** The browser's own variety of the language in use, for numbers and dates. */
const variety = () => navigator.languages.find((tag) => tag.slice(0, 2) === language) ?? language;

/** @param {number} value */
export const count = (value) => new Intl.NumberFormat(variety()).format(value);

/**
 * @param {string} iso
 * @param {string} [timeZone]
 */
export const day = (iso, timeZone) =>
  new Intl.DateTimeFormat(variety(), { month: "short", day: "numeric", timeZone }).format(new Date(iso));

/**
 * An amount in minor units (JPY and KRW have none).
 * @param {number} minor
 * @param {string} currency
 */
export function price(minor, currency) {
  const format = new Intl.NumberFormat(variety(), { style: "currency", currency, currencyDisplay: "narrowSymbol" });
  return format.format(minor / 10 ** (format.resolvedOptions().maximumFractionDigits ?? 0));
}

/**
 * A decimal amount of any precision.
 * @param {string | number} amount
 * @param {string} currency
 */
export const money = (amount, currency) =>
  new Intl.NumberFormat(variety(), { style: "currency", currency, currencyDisplay: "narrowSymbol", maximumSignificantDigits: 3 }).format(Number(amount));
