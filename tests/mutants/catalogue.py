"""The ledger, publications and answers from documents, broken on purpose: each mutant is one small change of their
code and the test that must notice it.

A mutant whose text is no longer found fails, and so does one that its test lets pass. Who changes a rule of theirs
adds the mutant that breaks it.
"""

from __future__ import annotations

from typing import NamedTuple

LEDGER = "tests/unit/ledger"
FOLD = f"{LEDGER}/test_fold.py"
RACES = f"{LEDGER}/test_races.py"
CREDITS = f"{LEDGER}/test_credit_races.py"
PUBLICATION = "tests/unit/knowledge/test_publication_races.py"
VECTORS = "tests/unit/knowledge/test_site_vectors.py"
ENGINES = "tests/unit/knowledge/test_search_engines.py"
TRAINING = "tests/unit/knowledge/test_training.py"
CRAWLS = "tests/unit/knowledge/test_crawling.py"
CRAWL_RACES = "tests/unit/knowledge/test_crawling_races.py"
OVERAGE = "tests/unit/chat/test_overage.py"
RETRIEVAL = "tests/unit/knowledge/test_retrieval.py"
PASSAGES = "tests/unit/chat/test_passages.py"
INJECTIONS = "tests/unit/chat/test_injections.py"


class Mutant(NamedTuple):
    """`was` stands once in `path` (of the package) and becomes `becomes`; `killer` (a pytest node) must fail then."""

    name: str
    path: str
    was: str
    becomes: str
    killer: str


MUTANTS = (
    # -- the conditions of a reserve
    Mutant(
        "credits are held that are not there",
        "ledger/store.py",
        'conditions += ["av >= :credits", "dbt = :owed"]',
        'conditions += ["dbt = :owed"]',
        f"{LEDGER}/test_ledger.py::test_credits_and_embedding_tokens_run_out",
    ),
    Mutant(
        "credits are spent though some are owed",
        "ledger/store.py",
        'conditions += ["av >= :credits", "dbt = :owed"]\n            values[":owed"] = 0\n',
        'conditions += ["av >= :credits"]\n',
        f"{CREDITS}::test_nothing_is_spent_while_something_is_owed",
    ),
    Mutant(
        "a reserve succeeds past the month's end",
        "ledger/store.py",
        '"nx > :t", ',
        "",
        f"{LEDGER}/test_ledger.py::test_the_month_turns_lazily_and_shows_at_once",
    ),
    Mutant(
        "one chat too many",
        "ledger/store.py",
        'conditions.append("qc < ql")',
        'conditions.append("qc <= ql")',
        f"{LEDGER}/test_ledger.py::test_the_chats_of_the_month_run_out",
    ),
    Mutant(
        "a hold of the same request is overwritten",
        "ledger/store.py",
        '"attribute_not_exists(hm.#r)", ',
        "",
        f"{RACES}::test_a_lost_answer_is_adopted_and_not_reserved_twice",
    ),
    # -- decide and apply
    Mutant(
        "whoever comes last decides",
        "usage/store.py",
        '                ConditionExpression="attribute_not_exists(pk)",\n',
        "",
        f"{RACES}::test_settle_and_sweep_at_once_decide_once",
    ),
    Mutant(
        "a record settles holds that it does not name",
        "ledger/service.py",
        'mine = stands.decision == "USAGE" and stands.nonce == held.nonce',
        'mine = stands.decision == "USAGE"',
        f"{RACES}::test_a_late_copy_of_a_reserve_after_the_settle_is_released_whole",
    ),
    Mutant(
        "a hold is given back twice",
        "ledger/store.py",
        'conditions = ["hm.#r = :h"]',
        'conditions = ["attribute_exists(pk)"]',
        f"{RACES}::test_two_sweeps_at_once_give_back_once",
    ),
    Mutant(
        "what last month held comes back into this month",
        "ledger/store.py",
        'conditions.append("ps <= :t")',
        "pass",
        f"{LEDGER}/test_crashes.py::test_the_matrix_covers_every_call[settles_in_the_next_month-4]",
    ),
    Mutant(
        "an upstream that overruns is charged",
        "ledger/service.py",
        "record.credits = 0 if hold.release else max(0, min(record.credits, hold.held.credits))",
        "record.credits = 0 if hold.release else max(0, record.credits)",
        f"{LEDGER}/test_ledger.py::test_what_was_held_and_not_used_goes_back_and_an_overrun_is_not_charged",
    ),
    Mutant(
        "a hold has no grace after its deadline",
        "ledger/holds.py",
        "GRACE_SECONDS = 60",
        "GRACE_SECONDS = 0",
        f"{LEDGER}/test_ledger.py::test_a_hold_that_never_came_back_is_released_after_its_grace",
    ),
    # -- folds
    Mutant(
        "a turn overlooks another one",
        "ledger/store.py",
        '", ".join(sets), ["v = :v"], values, {})',
        '", ".join(sets), ["v >= :v"], values, {})',
        f"{CREDITS}::test_a_chat_of_a_new_day_is_counted_though_another_turns_the_day_or_folds[True]",
    ),
    Mutant(
        "a fold overlooks a turn",
        "ledger/book_store.py",
        '"v = :v AND av >= :removed"',
        '"v >= :v AND av >= :removed"',
        f"{CREDITS}::test_a_chat_of_a_new_day_is_counted_though_another_turns_the_day_or_folds[False]",
    ),
    Mutant(
        "a fold takes what has been reserved meanwhile",
        "ledger/book_store.py",
        '"v = :v AND av >= :removed"',
        '"v = :v AND :removed >= :removed"',
        f"{CREDITS}::test_nothing_that_a_fold_takes_may_be_reserved_meanwhile",
    ),
    Mutant(
        "an entry's mark is no condition",
        "ledger/book_store.py",
        '"Item": tables.to_item(item)} | _ABSENT} for item in items]',
        '"Item": tables.to_item(item)}} for item in items]',
        f"{CREDITS}::test_a_purchase_delivered_twice_at_once_is_booked_once[abbbbaaa]",
    ),
    Mutant(
        "what open holds back expires",
        "ledger/fold.py",
        "gone = lot.remaining - backed",
        "gone = lot.remaining",
        f"{FOLD}::test_an_expired_lot_loses_only_what_no_hold_backs",
    ),
    Mutant(
        "a withdrawal takes what holds back",
        "ledger/fold.py",
        "here = min(wanted - taken, lot.remaining - backed)",
        "here = min(wanted - taken, lot.remaining)",
        f"{FOLD}::test_a_withdrawal_leaves_alone_what_holds_back",
    ),
    Mutant(
        "new lots are spent from an old position on",
        "ledger/fold.py",
        "books = Books(version, self._used,",
        "books = Books(version, self._books.base,",
        f"{FOLD}::test_what_was_settled_while_a_fold_was_worked_out_is_spent_from_the_new_lots",
    ),
    Mutant(
        "debt is never paid",
        "ledger/fold.py",
        "self._debt -= self._take(self._debt)",
        "self._take(0)",
        f"{FOLD}::test_a_purchase_pays_what_is_owed_first",
    ),
    Mutant(
        "all of a month's rest is carried over",
        "ledger/fold.py",
        "kept = min(cap - over, gone)",
        "kept = gone",
        f"{FOLD}::test_a_month_ends_once_with_its_statistics",
    ),
    Mutant(
        "a plan that falls and comes back is granted twice",
        "ledger/account.py",
        "return Grant(full, self.top + rise, self.granted + pro_rata(rise, share))",
        "return Grant(full, full, self.granted + pro_rata(rise, share))",
        f"{FOLD}::test_a_raised_plan_pays_its_rise_at_once_and_only_once",
    ),
    Mutant(
        "a day turns back for a lot that came late",
        "ledger/account.py",
        "if account.day < today:",
        "if account.day != today:",
        f"{FOLD}::test_credits_that_come_after_their_own_end_move_no_day_back",
    ),
    # -- the journal, and money
    Mutant(
        "an entry stands where it ends",
        "ledger/journal.py",
        "start=before.credits_used,",
        "start=after.credits_used,",
        f"{LEDGER}/test_journal.py::test_lines_say_what_was_taken_from_what_and_what_is_left",
    ),
    Mutant(
        "a price is rounded down",
        "ledger/prices.py",
        "return -(-base * (4 + steps) // 4)",
        "return base * (4 + steps) // 4",
        f"{OVERAGE}::test_the_price_list",
    ),
    Mutant(
        "only the answer is held for, not the prompt",
        "chat/overage.py",
        "credits=prices.price(self.base, sum(self.bound)))",
        "credits=prices.price(self.base, self.bound.answer))",
        f"{OVERAGE}::test_what_is_held_covers_prompt_and_answer",
    ),
    Mutant(
        "yen are taken for hundredths",
        "ledger/lots.py",
        "share = cost_places(Decimal(lot.paid) * count / lot.credits)",
        "share = cost_places(Decimal(lot.paid) * count / lot.credits / 100)",
        f"{CREDITS}::test_7800_yen_are_7800",
    ),
    # -- the publication of what a site knows
    Mutant(
        "a version is published over one that was not seen",
        "knowledge/document_store.py",
        'return self._rows.put(item, "version = :read", {":read": old.version}) if old else self._rows.new(item)',
        "return self._rows.put(item)",
        f"{PUBLICATION}::test_two_publications_of_one_site",
    ),
    Mutant(
        "documents are read ahead of the version that they are compared with",
        "knowledge/publish.py",
        """        old = self._documents.pointer(*where)  # first: who publishes what we have not seen makes ours fail
        every = list(self._documents.every(*where))
""",
        """        every = list(self._documents.every(*where))
        old = self._documents.pointer(*where)
""",
        f"{PUBLICATION}::test_two_publications_of_one_site",
    ),
    Mutant(
        "what was deleted comes back by a rollback",
        "knowledge/publish.py",
        'is_forced = is_forced or (job.kind == "refresh" and old is not None and old.previous is not None)',
        "pass",
        f"{PUBLICATION}::test_a_document_is_deleted_while_a_job_publishes",
    ),
    Mutant(
        "the index in use is removed",
        "knowledge/publish.py",
        "unused = [key for key, _ in indexes if key not in indexed and",
        "unused = [key for key, _ in indexes if",
        f"{PUBLICATION}::test_two_publications_of_one_site",
    ),
    Mutant(
        "tries of a publication that came on are counted",
        "knowledge/job_store.py",
        "SET #tries = :one, #moved_at = :now",
        "SET #moved_at = :now, #reset = :one",
        f"{VECTORS}::test_a_large_site_goes_on_in_a_fresh_function_as_often_as_it_must",
    ),
    Mutant(
        "a site's id alone leads to its vectors",
        "knowledge/vector_indexes.py",
        'f"{tenant_id}\\0{site_id}"',
        'f"{site_id}"',
        f"{ENGINES}::test_another_site_is_never_reached[s3_vectors]",
    ),
    Mutant(
        "a batch that was paid for is not kept before the next",
        "knowledge/site_vectors.py",
        "        self._packs.add(vectors, self._clock())\n",
        "",
        f"{VECTORS}::test_whoever_dies_at_any_call_loses_one_batch_at_most",
    ),
    Mutant(
        "two publications pay for the same texts",
        "knowledge/site_vectors.py",
        "now + LEASE_SECONDS) is not None:",
        "now + LEASE_SECONDS) is ...:",
        f"{VECTORS}::test_two_publications_of_a_site_never_pay_for_the_same_text",
    ),
    Mutant(
        "an index that finds nothing is taken for sound",
        "knowledge/publish.py",
        "return missed <= max(",
        "return missed <= TRIED + max(",
        f"{TRAINING}::test_an_index_that_finds_nothing_is_never_published",
    ),
    # -- crawls
    Mutant(
        "a page ends twice",
        "knowledge/job_store.py",
        '"#status = :waiting",\n            {":waiting": "waiting", ":outcome"',
        '"attribute_exists(pk)",\n            {":outcome"',
        f"{TRAINING}::test_a_page_counts_once_though_two_work_on_it",
    ),
    Mutant(
        "more pages than there is room for",
        "knowledge/crawl_store.py",
        '":most": now.max_pages - count}',
        '":most": now.max_pages}',
        f"{CRAWL_RACES}::test_bounds_hold_though_two_add_pages_at_once",
    ),
    Mutant(
        "more queries of a path than are followed",
        "knowledge/crawl_store.py",
        '":most": MAX_VARIANTS - len(some)}',
        '":most": MAX_VARIANTS}',
        f"{CRAWL_RACES}::test_bounds_hold_though_two_add_pages_at_once",
    ),
    Mutant(
        "two crawls of a site are open",
        "knowledge/crawls.py",
        "if job and job.is_open:",
        "if job and not job.is_open:",
        f"{CRAWLS}::test_one_crawl_of_a_site_at_a_time_is_open",
    ),
    # -- answers from documents
    Mutant(
        "a delimiter may be written as an entity",
        "chat/quoting.py",
        '_WRITTEN_LESS.sub("‹", text.translate(_INERT))',
        "text.translate(_INERT)",
        f"{INJECTIONS}::test_no_text_at_all_opens_or_closes_anything",
    ),
    Mutant(
        "a passage's link leads where its page says",
        "chat/quoting.py",
        '_ADDRESS.sub(r"\\1", text)',
        "text",
        f"{INJECTIONS}::test_what_is_harmless_stays_readable",
    ),
    Mutant(
        "an index is believed whose file is another's",
        "knowledge/index_cache.py",
        "IndexFile(file, identity)",
        "IndexFile(file)",
        f"{RETRIEVAL}::test_no_pointer_leads_to_another_sites_index",
    ),
    Mutant(
        "sites of one id share an index",
        "knowledge/index_cache.py",
        "kept = self._kept.get(where)",
        "kept = next((each for (_, site), each in self._kept.items() if site == where[1]), None)\n"
        "            key = kept.key if kept else key",
        f"{RETRIEVAL}::test_two_tenants_sites_of_one_id_are_two",
    ),
    Mutant(
        "passages are given though they don't tell",
        "chat/research.py",
        "if each and each.findings.is_answered]",
        "if each]",
        f"{PASSAGES}::test_a_silent_site_gives_the_model_no_passage_but_the_sentence_to_say",
    ),
    Mutant(
        "a question's vector is not held",
        "chat/service.py",
        "run.deadline, bound, plan.inquiry.hold)",
        "run.deadline, bound)",
        f"{PASSAGES}::test_a_vector_finds_what_no_word_does_and_is_paid_for_in_the_chats_own_record",
    ),
)
