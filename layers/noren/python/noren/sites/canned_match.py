"""Finds the canned response that answers a question, and those whose questions are much like it.

The rules are written down in `web/widget/canned-vectors.json`, with the cases that this and the widget are tested by.
"""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from noren.errors import BadRequest
from noren.sites.canned_models import (
    LONGEST_QUESTION,
    MOST_SUGGESTIONS,
    NO_MATCH,
    CannedResponse,
    Match,
    Pattern,
)
from noren.sites.phrases import grams, normalized, numbers

if TYPE_CHECKING:
    from re2 import _Regexp

ALIKE = 0.7
"""Dice's coefficient of the pairs of characters from which on two questions are much alike."""
REGEX_MEMORY = 1 << 17
"""Bytes for one compiled expression and the states that it keeps."""
LARGEST_REGEX = 300
"""Instructions of its program. At most as many steps for each character of a question, whatever both say."""

_log = logging.getLogger("noren.sites")


class Matcher:
    """A site's enabled responses, made ready. Where several fit, the strongest kind wins, then the earliest."""

    def __init__(self, responses: Iterable[CannedResponse]) -> None:
        self.responses = tuple(sorted((each for each in responses if each.enabled), key=lambda each: each.canned_id))
        self._exact: dict[str, CannedResponse] = {}
        self._normal: dict[str, CannedResponse] = {}
        self._regexes: list[tuple[_Regexp, CannedResponse]] = []
        self._phrases: list[tuple[CannedResponse, int, list[str]]] = []
        self._having: dict[tuple[str, int], list[int]] = {}
        for response in self.responses:
            self._add(response)

    def match(self, question: str) -> Match:
        """What answers the question, else what is like it."""
        if _units(question) > LONGEST_QUESTION or not self.responses:
            return NO_MATCH
        if found := self._exact.get(_exact(question)):
            return Match(found, "exact")
        phrase = normalized(question)
        if found := self._normal.get(phrase):
            return Match(found, "normalized")
        plain = unicodedata.normalize("NFKC", question).strip()
        if found := next((each for regex, each in self._regexes if regex.search(plain)), None):
            return Match(found, "regex")
        return Match(suggestions=self._alike(phrase))

    def _add(self, response: CannedResponse) -> None:
        for pattern in response.patterns:
            if pattern.kind == "exact":
                self._exact.setdefault(_exact(pattern.text), response)
            elif pattern.kind == "regex":
                try:
                    self._regexes.append((_compiled(pattern.text), response))
                except ValueError:  # another release of the engine may be stricter than the one that let it in
                    _log.warning("a regular expression of %s is refused now", response.canned_id)
        same = (*response.questions, *(each.text for each in response.patterns if each.kind == "normalized"))
        for phrase in filter(None, map(normalized, same)):
            self._normal.setdefault(phrase, response)
        for phrase in dict.fromkeys(map(normalized, response.phrases)):
            pairs = grams(phrase)
            for pair in pairs:
                self._having.setdefault(pair, []).append(len(self._phrases))
            self._phrases.append((response, len(pairs), numbers(phrase)))

    def _alike(self, phrase: str) -> tuple[CannedResponse, ...]:
        pairs, said = grams(phrase), numbers(phrase)
        shared = Counter(index for pair in pairs for index in self._having.get(pair, ()))
        best: dict[str, tuple[float, CannedResponse]] = {}
        for index, count in shared.items():
            response, size, its_numbers = self._phrases[index]
            likeness = 2 * count / (len(pairs) + size)
            if likeness >= ALIKE and its_numbers == said and likeness > best.get(response.canned_id, (0.0,))[0]:
                best[response.canned_id] = (likeness, response)
        ranked = sorted(best.values(), key=lambda each: (-each[0], each[1].canned_id))
        return tuple(response for _, response in ranked[:MOST_SUGGESTIONS])


def check_patterns(patterns: Iterable[Pattern]) -> None:
    """Raise BadRequest, naming the pattern, for one that could never match or that costs too much to try."""
    errors = []
    for index, pattern in enumerate(patterns):
        problem = ""
        if pattern.kind == "regex":
            try:
                _compiled(pattern.text)
            except ValueError as error:
                problem = str(error)
        elif not (_exact(pattern.text) if pattern.kind == "exact" else normalized(pattern.text)):
            problem = "nothing is left of this once it is normalised: write words"
        if problem:
            errors.append({"field": f"patterns.{index}.text", "message": problem})
    if errors:
        raise BadRequest(errors=errors)


def _compiled(text: str) -> _Regexp:
    """The expression, compiled by an engine without backtracking. Raises ValueError with what is wrong with it."""
    import re2  # only for sites that have such a pattern

    options = re2.Options()
    options.max_mem, options.log_errors, options.never_capture = REGEX_MEMORY, False, True
    try:
        regex = re2.compile(text, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        reason = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        if "too large" in reason:
            raise ValueError(_TOO_LARGE) from None
        raise ValueError(f"not a regular expression that we take (RE2's syntax): {reason}") from None
    if max(regex.programsize, regex.reverseprogramsize) > LARGEST_REGEX:
        raise ValueError(_TOO_LARGE)
    if regex.search(""):
        raise ValueError("this matches every question: it is found in an empty one")
    return regex


_TOO_LARGE = "this regular expression is too large once it is compiled: use fewer or smaller repetitions and classes"


def _exact(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _units(text: str) -> int:
    return len(text) + sum(char > "\uffff" for char in text)
