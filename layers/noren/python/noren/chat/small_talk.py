"""Messages that ask nothing: greetings, thanks, assent. Even those would be found somewhere in a small site."""

from __future__ import annotations

import re

MOST_CHARS = 60
_WORDS = (
    r"hi|hello|hey|good (?:morning|afternoon|evening|night|day)|(?:many )?thanks|thank you|thx|so much|very much|a lot"
    r"|yes|no|ok|okay|great|perfect|got it|i see|(?:good)?bye"
    r"|こんにちは|こんばんは|おはよう|はじめまして|どうも|ありがとう|感謝します|ございます|ございました|すみません"
    r"|はい|いいえ|ええ|うん|わかりました|分かりました|なるほど|了解|承知|です|しました|さようなら|よろしく|お願いします"
    r"|안녕|안녕하세요|안녕하십니까|반갑습니다|감사합니다|감사해요|고마워|고마워요|고맙습니다"
    r"|네|예|아니요|아니오|알겠습니다|알겠어요|그렇군요|수고하세요"
)
_JAPANESE = "[\u3041-\u9fff]"
_ALL = re.compile(rf"\W*(?:(?:{_WORDS})(?:\W+|(?<={_JAPANESE})(?={_JAPANESE})|$))+", re.IGNORECASE)


def is_small_talk(message: str) -> bool:
    """Whether a message is nothing else."""
    return len(message) <= MOST_CHARS and bool(_ALL.fullmatch(message))
