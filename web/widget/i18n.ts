/** What the widget says to visitors; a number goes where `{n}` stands. No words of ours about plans, prices or models. */
import type { Locale } from "./types";

const LOCALES: Locale[] = ["en", "ja", "ko"];
const TEXTS = {
  title: ["Chat", "チャット", "채팅"],
  placeholder: ["Type a message", "メッセージを入力", "메시지를 입력하세요"],
  send: ["Send", "送信", "보내기"],
  stop: ["Stop", "停止", "중지"],
  close: ["Close", "閉じる", "닫기"],
  reset: ["New conversation", "新しい会話", "새 대화"],
  you: ["You: ", "あなた: ", "나: "],
  assistant: ["Answer: ", "回答: ", "답변: "],
  suggested: ["Suggested questions", "よくある質問", "자주 묻는 질문"],
  near: ["Did you mean:", "もしかして:", "혹시 이 질문인가요?"],
  sources: ["Sources", "参照元", "출처"],
  helpful: ["Helpful", "役に立った", "도움이 됨"],
  unhelpful: ["Not helpful", "役に立たなかった", "도움이 안 됨"],
  comment: ["What was missing?", "何が足りませんでしたか?", "무엇이 부족했나요?"],
  thanks: ["Thank you.", "ご意見ありがとうございます。", "의견 감사합니다."],
  copy: ["Copy", "コピー", "복사"],
  copied: ["Copied", "コピーしました", "복사했습니다"],
  retry: ["Try again", "もう一度試す", "다시 시도"],
  unread: ["{n} unread", "未読 {n} 件", "읽지 않음 {n}개"],
  caution: ["AI answers can be wrong.", "AIの回答は誤ることがあります。", "AI 답변은 정확하지 않을 수 있습니다."],
  offline: ["You are offline. This will be sent when the connection is back.", "オフラインです。接続が戻り次第、送信します。", "오프라인입니다. 연결되면 보냅니다."],
  network: ["The connection was lost.", "接続が切れました。", "연결이 끊겼습니다."],
  quota: ["This chat has reached its limit. Please come back later.", "ご利用の上限に達しました。時間をおいてお試しください。", "이용 한도에 도달했습니다. 나중에 다시 이용해 주세요."],
  wait: ["It is busy right now. Please wait a moment.", "混み合っています。少しお待ちください。", "이용자가 많습니다. 잠시 기다려 주세요."],
  off: ["This chat is not available now.", "このチャットは現在ご利用いただけません。", "지금은 이 채팅을 이용할 수 없습니다."],
  reload: ["Please reload the page.", "ページを再読み込みしてください。", "페이지를 새로고침해 주세요."],
  broken: ["Something went wrong.", "うまくいきませんでした。", "문제가 발생했습니다."],
};

export type Text = keyof typeof TEXTS;

/** The text in the visitor's language. */
export function say(locale: Locale, text: Text): string {
  return TEXTS[text][LOCALES.indexOf(locale)]!;
}
