"""Training a site: texts, files, questions with answers; the jobs; what was learnt."""

from __future__ import annotations

from dataclasses import asdict

from noren.clock import iso
from noren.edge.http import Access, Call, Response, Route
from noren.edge.paging import Page, PageQuery, paged
from noren.errors import Busy, Conflict, RateLimited
from noren.knowledge.crawls import Estimate
from noren.knowledge.inputs import Given
from noren.knowledge.jobs import FILE_BYTES, UPLOAD_SECONDS
from noren.knowledge.models import Document, Job, JobKind, JobPage, Schedule
from noren.knowledge.quote import Quote
from noren.knowledge.standing import check_may_train
from noren.knowledge.survey.models import Reach
from noren.knowledge.texts import asked, written
from noren.sites.models import Site
from noren.tenants.models import Role
from noren.tenants.store import Refused
from platform_api import schemas_train as t
from platform_api.views import when

READ = Access(role=Role.VIEWER, scope="read")
TRAIN = Access(role=Role.EDITOR, scope="train")
JOBS = "/api/v1/train/jobs"
JOB = f"{JOBS}/{{job_id}}"
SCHEDULES = "/api/v1/train/schedules"
SCHEDULE = f"{SCHEDULES}/{{schedule_id}}"
DOCUMENTS = "/api/v1/documents"
DOCUMENT = f"{DOCUMENTS}/{{document_id}}"


def train_text(call: Call) -> t.JobOut:
    """Texts, each a page of the job."""
    body: t.TrainTextIn = call.body
    texts = [Given(each.title, each.text, each.language or "", each.url or "") for each in body.texts]
    return _start(call, body.site_id, "text", texts, force=body.force_retrain)


def train_qa(call: Call) -> t.JobOut:
    """Questions with answers, each a page of the job."""
    body: t.TrainQaIn = call.body
    pairs = [Given(each.question, each.answer, each.language or "", each.url or "") for each in body.pairs]
    return _start(call, body.site_id, "qa", pairs, force=body.force_retrain)


def learn_from_feedback(call: Call) -> t.JobOut:
    """A rated answer's question, with its answer or a better one."""
    body: t.LearnIn = call.body
    rated = call.services.feedback.pair(call.tenant_id, call.params["feedback_id"], body.question, body.answer)
    site_id, question, answer = rated
    return _start(call, site_id, "qa", [Given(question, answer, body.language or "", body.url or "")])


def upload(call: Call) -> t.UploadOut:
    """A place for one file."""
    upload_id, form = call.services.training.upload(_open_site(call, call.body.site_id))
    return t.UploadOut(upload_id=upload_id, **form, max_bytes=FILE_BYTES, expires_in=UPLOAD_SECONDS)


def train_files(call: Call) -> t.JobOut:
    """Uploaded files, each a page of the job."""
    body: t.TrainFilesIn = call.body
    files = [Given(each.name, upload_id=each.upload_id) for each in body.files]
    return _start(call, body.site_id, "files", files, force=body.force_retrain)


def estimate(call: Call) -> t.EstimateOut:
    """What training a site would come to. Looks, and changes nothing."""
    body: t.EstimateIn = call.body
    site, reach = _open_site(call, body.site_id), _reach(body.scope)
    url = call.services.crawls.address(site, body.url)
    return _estimate(call.services.quotes.quote(site, url, reach, force=body.force_retrain))


def train_url(call: Call) -> t.JobOut:
    """A site's pages, each a page of the job."""
    body: t.TrainUrlIn = call.body
    services = call.services
    site = _open_site(call, body.site_id)
    entitlement = services.plans.entitlement(services.tenants.get(call.tenant_id))
    if body.schedule:
        services.schedules.check(entitlement, body.schedule)
    crawls, actor, reach = services.crawls, call.caller.principal, _reach(body.scope)
    url = crawls.address(site, body.url)
    crawls.check_turn(site)
    estimate = _expected(call, site, url, reach)  # takes long: what is read for a write is read after it
    also = services.schedules.setting(site, url, reach, body.schedule, actor) if body.schedule else []
    try:
        job = crawls.start(
            site,
            url,
            reach,
            entitlement.limits.pages_per_site,
            actor,
            force=body.force_retrain,
            schedule=body.schedule,
            estimate=estimate,
            also=also,
        )
    except Refused:
        raise Conflict("The schedule of this address has just been changed. Repeat your request.") from None
    return _job(job)


def list_schedules(call: Call) -> Page[t.ScheduleOut]:
    """Schedules of one site, or of all."""
    site_id = _site(call, call.query.site_id).site_id if call.query.site_id else None
    read = call.services.schedules.some
    items, following = paged(call, SCHEDULES, lambda limit, at: read(call.tenant_id, site_id, limit, at))
    return Page(items=[_schedule(each) for each in items], next_cursor=following)


def get_schedule(call: Call) -> t.ScheduleOut:
    """One schedule."""
    return _schedule(call.services.schedules.get(call.tenant_id, call.params["schedule_id"]))


def delete_schedule(call: Call) -> Response:
    """End a schedule."""
    call.services.schedules.delete(call.tenant_id, call.params["schedule_id"])
    return Response(status=204)


def list_jobs(call: Call) -> Page[t.JobOut]:
    """Jobs of one site, or of all."""
    site_id = _site(call, call.query.site_id).site_id if call.query.site_id else None
    read = call.services.training.some
    items, following = paged(call, JOBS, lambda limit, at: read(call.tenant_id, site_id, limit, at))
    return Page(items=[_job(each) for each in items], next_cursor=following)


def get_job(call: Call) -> t.JobOut:
    """How far a job has come."""
    return _job(call.services.training.get(call.tenant_id, call.params["job_id"]))


def list_pages(call: Call) -> Page[t.JobPageOut]:
    """What has become of each page of a job."""
    job_id = call.params["job_id"]
    read = call.services.training.pages
    items, following = paged(call, call.request.path, lambda limit, at: read(call.tenant_id, job_id, limit, at))
    return Page(items=[_page(each) for each in items], next_cursor=following)


def cancel_job(call: Call) -> t.JobOut:
    """End a job where it stands."""
    return _job(call.services.training.cancel(call.tenant_id, call.params["job_id"]))


def retry_job(call: Call) -> t.JobOut:
    """Do again what failed."""
    training, job_id = call.services.training, call.params["job_id"]
    _open_site(call, training.get(call.tenant_id, job_id).site_id)
    return _job(training.retry(call.tenant_id, job_id))


def list_documents(call: Call) -> Page[t.DocumentOut]:
    """What a site has learnt."""
    site = _site(call, call.query.site_id)
    read, status = call.services.training.documents, call.query.status
    items, following = paged(call, DOCUMENTS, lambda limit, at: read(site, limit, at, status))
    return Page(items=[_document(each) for each in items], next_cursor=following)


def get_document(call: Call) -> t.DocumentOut:
    """One document."""
    site = _site(call, call.query.site_id)
    return _document(call.services.training.document(site, call.params["document_id"]))


def delete_document(call: Call) -> t.JobOut:
    """Forget a document."""
    site = _site(call, call.query.site_id)
    return _job(call.services.training.delete_document(site, call.params["document_id"], call.caller.principal))


def _start(call: Call, site_id: str, kind: JobKind, items: list[Given], *, force: bool = False) -> t.JobOut:
    site, actor = _open_site(call, site_id), call.caller.principal
    form = asked if kind == "qa" else written
    texts = [form(each.title, each.text, each.language) for each in items]
    expected = None if kind == "files" else call.services.quotes.of_texts(site, texts)
    return _job(call.services.training.start(site, kind, items, actor, force=force, estimate=expected))


def _reach(scope: t.ScopeIn) -> Reach:
    return Reach(scope.max_pages, scope.max_depth, tuple(scope.include), tuple(scope.exclude))


def _expected(call: Call, site: Site, url: str, reach: Reach) -> Estimate | None:
    """What a crawl is expected to come to; None while nobody can be had to look. Raises Unprocessable for a site of
    which nothing can be read.
    """
    try:
        quote = call.services.quotes.quote(site, url, reach, force=call.body.force_retrain, anew=False)
    except (Busy, RateLimited):
        return None
    return Estimate(quote.pages, quote.tokens, quote.cost_usd, quote.exceeds_quota)


def _site(call: Call, site_id: str | None) -> Site:
    named = site_id or call.services.tenants.get(call.tenant_id).default_site_id
    return call.services.sites.get(call.tenant_id, named)


def _open_site(call: Call, site_id: str | None) -> Site:
    """The site, where it may be trained: who is stopped looks and tidies up. Raises Forbidden."""
    site = _site(call, site_id)
    check_may_train(call.services.tenants.get(call.tenant_id), site)
    return site


def _job(each: Job) -> t.JobOut:
    times = {name: when(getattr(each, name)) for name in ("started_at", "ended_at")}
    reasons = {name: count for name, count in each.reasons.items() if count}
    return t.JobOut.model_validate(
        asdict(each) | times | {"reasons": reasons, "created_at": iso(each.created_at), "fetched": each.fetched}
    )


def _estimate(each: Quote) -> t.EstimateOut:
    costs = {name: getattr(each, name).amount for name in ("cost_local", "cost_local_low", "cost_local_high")}
    return t.EstimateOut.model_validate(asdict(each) | costs | {"currency": each.cost_local.currency})


def _schedule(each: Schedule) -> t.ScheduleOut:
    times = {name: iso(getattr(each, name)) for name in ("due_at", "created_at")}
    return t.ScheduleOut.model_validate(asdict(each) | times)


def _page(each: JobPage) -> t.JobPageOut:
    return t.JobPageOut.model_validate(each)


def _document(each: Document) -> t.DocumentOut:
    times = {name: iso(getattr(each, name)) for name in ("created_at", "updated_at")}
    perhaps = {name: when(getattr(each, name)) for name in ("valid_until", "checked_at")}
    return t.DocumentOut.model_validate(asdict(each) | times | perhaps)


ROUTES = (
    Route(
        "POST",
        "/api/v1/train/text",
        train_text,
        TRAIN,
        "Train a site on texts",
        t.JobOut,
        t.TrainTextIn,
        status=202,
        idempotent=True,
        max_body=t.MAX_BODY,
        rate="train",
    ),
    Route(
        "POST",
        "/api/v1/train/qa",
        train_qa,
        TRAIN,
        "Train a site on questions and answers",
        t.JobOut,
        t.TrainQaIn,
        status=202,
        idempotent=True,
        max_body=t.MAX_BODY,
        rate="train",
    ),
    Route(
        "POST",
        "/api/v1/feedback/{feedback_id}/qa",
        learn_from_feedback,
        TRAIN,
        "Train a site on a rated answer's question, with the right answer",
        t.JobOut,
        t.LearnIn,
        status=202,
        idempotent=True,
        rate="train",
    ),
    Route(
        "POST",
        "/api/v1/train/uploads",
        upload,
        TRAIN,
        "A place to upload a file to train on",
        t.UploadOut,
        t.UploadIn,
        status=201,
        idempotent=True,
        replay=lambda made: made.model_copy(update={"fields": {}}),
        rate="uploads",
    ),
    Route(
        "POST",
        "/api/v1/train/files",
        train_files,
        TRAIN,
        "Train a site on uploaded files",
        t.JobOut,
        t.TrainFilesIn,
        status=202,
        idempotent=True,
        rate="train",
    ),
    Route(
        "POST",
        "/api/v1/train/estimate",
        estimate,
        TRAIN,
        "What training a site would come to; no work is done",
        t.EstimateOut,
        t.EstimateIn,
        rate="train",
    ),
    Route(
        "POST",
        "/api/v1/train/url",
        train_url,
        TRAIN,
        "Train a site on its pages",
        t.JobOut,
        t.TrainUrlIn,
        status=202,
        aliases=("/api/train/url",),
        idempotent=True,
        rate="train",
    ),
    Route(
        "GET",
        SCHEDULES,
        list_schedules,
        READ,
        "Trainings that come again",
        Page[t.ScheduleOut],
        query=t.JobQuery,
    ),
    Route("GET", SCHEDULE, get_schedule, READ, "A training that comes again", t.ScheduleOut),
    Route(
        "DELETE",
        SCHEDULE,
        delete_schedule,
        TRAIN,
        "Have a training come no more",
        status=204,
        before=get_schedule,
    ),
    Route("GET", JOBS, list_jobs, READ, "Training jobs, newest first", Page[t.JobOut], query=t.JobQuery),
    Route("GET", JOB, get_job, READ, "A training job: how far it has come", t.JobOut),
    Route(
        "GET",
        f"{JOB}/pages",
        list_pages,
        READ,
        "What has become of each page of a training job",
        Page[t.JobPageOut],
        query=PageQuery,
    ),
    Route(
        "POST",
        f"{JOB}/cancel",
        cancel_job,
        TRAIN,
        "End a training job where it stands; what it has learnt is published with the next",
        t.JobOut,
        idempotent=True,
        before=get_job,
    ),
    Route(
        "POST",
        f"{JOB}/retry",
        retry_job,
        TRAIN,
        "Have a training job do what failed or was cancelled",
        t.JobOut,
        status=202,
        idempotent=True,
        before=get_job,
        rate="train",
    ),
    Route(
        "GET",
        DOCUMENTS,
        list_documents,
        READ,
        "What a site has learnt, in no particular order",
        Page[t.DocumentOut],
        query=t.DocumentQuery,
    ),
    Route("GET", DOCUMENT, get_document, READ, "A document", t.DocumentOut, query=t.OneSiteQuery),
    Route(
        "DELETE",
        DOCUMENT,
        delete_document,
        TRAIN,
        "Delete a document; the job that publishes without it",
        t.JobOut,
        status=202,
        query=t.OneSiteQuery,
        before=get_document,
    ),
)
