"""The commands of `narrate admin`: what each asks the server, and how its answer is shown."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from client.admin import tables
from client.commands.logs import NO_HISTORY, line_of
from client.models import PRIORITIES, STATUSES, History
from client.operator import Answer, Operator
from client.terminal import counted

Argument = tuple[tuple[str, ...], dict[str, Any]]


class AdminCommand(NamedTuple):
    """A command: its help, request and view; `asks` is for what cannot be undone."""

    does: str
    request: Callable[[Operator, Namespace], Answer]
    show: Callable[[Answer], Iterator[str]]
    arguments: tuple[Argument, ...] = ()
    asks: Callable[[Namespace], str | None] = lambda _: None


def _argument(*names: str, **settings: Any) -> Argument:
    return names, settings


JOB = _argument("job", metavar="JOB", help="its id, as `narrate admin jobs` shows it")
MODEL = _argument("model", metavar="MODEL", help="its id or short name")
OWNER = _argument("--owner", help="of one owner only")


def _resume(operator: Operator, args: Namespace) -> Answer:
    kind = "workers" if operator.is_worker(args.name) else "queues"
    return operator.post(kind, args.name, "resume")


def _purge(operator: Operator, args: Namespace) -> Answer:
    """Cancel jobs of a model, some hundreds a request, until none is left or no more can be."""
    cancelled = 0
    while True:
        done = operator.post("queues", args.model, "purge")
        cancelled += done["cancelled"]
        if not done["left"] or not done["cancelled"]:
            return {**done, "cancelled": cancelled}


def _changed(answer: Answer) -> Iterator[str]:
    since = f", since {tables.clock(answer['since'])}" if answer["since"] else ""
    yield f"{answer['id']}: {answer['action']} is done{since}"


def _purged(answer: Answer) -> Iterator[str]:
    cancelled = counted(answer["cancelled"], "job")
    yield f"{answer['model']}: {cancelled} cancelled, {answer['left']} left"


def _requeued(answer: Answer) -> Iterator[str]:
    yield f"{answer['job']}: segments {', '.join(answer['segments'])} wait for another worker"


def _resent(answer: Answer) -> Iterator[str]:
    yield f"{answer['id']} is on its way again"


def _history(answer: Answer) -> Iterator[str]:
    found = History.parse(answer)
    yield from map(line_of, found.entries) if found.recorded else (NO_HISTORY,)


def _asks_whole(args: Namespace) -> str | None:
    return f"speak all of {args.job} anew, and drop what is spoken" if args.whole else None


COMMANDS = {
    "workers": AdminCommand(
        "list live workers: version, models, speed, what they speak",
        lambda operator, _: operator.get("workers"),
        tables.workers,
    ),
    "queues": AdminCommand(
        "list what waits for each model, for how long, and what is paused",
        lambda operator, _: operator.get("queues"),
        tables.queues,
    ),
    "jobs": AdminCommand(
        "list jobs of all owners, the newest first, with the reasons of those that failed",
        lambda operator, args: operator.get(
            "jobs",
            status=args.status,
            code=args.code,
            model=args.model,
            owner=args.owner,
            limit=args.limit,
            after=args.after,
        ),
        tables.jobs,
        (
            _argument("--status", action="append", choices=STATUSES, help="may be repeated"),
            _argument("--code", help="of the error, such as synthesis_failed"),
            _argument("--model", help="its id or short name"),
            OWNER,
            _argument("--limit", type=int, default=20, help="default: %(default)s, at most 100"),
            _argument("--after", metavar="JOB", help="the last one of the page before"),
        ),
    ),
    "job": AdminCommand(
        "show a job, the segment that failed, and why it stands where it does",
        lambda operator, args: operator.get("jobs", args.job),
        tables.job_details,
        (JOB,),
    ),
    "history": AdminCommand(
        "show what happened to a job of any owner, and when, as `narrate logs` does for your own",
        lambda operator, args: operator.get("jobs", args.job, "history"),
        _history,
        (JOB,),
    ),
    "retry": AdminCommand(
        "speak a failed job on; what is spoken is kept",
        lambda operator, args: operator.post("jobs", args.job, "retry", whole=args.whole or None),
        tables.job_details,
        (JOB, _argument("--whole", action="store_true", help="all of it anew")),
        _asks_whole,
    ),
    "cancel": AdminCommand(
        "cancel a job of any owner",
        lambda operator, args: operator.post("jobs", args.job, "cancel"),
        tables.job_details,
        (JOB,),
        lambda args: f"cancel {args.job}",
    ),
    "requeue": AdminCommand(
        "take what is spoken of a job from its workers, for another one to speak",
        lambda operator, args: operator.post("jobs", args.job, "requeue", segment=args.segment),
        _requeued,
        (JOB, _argument("--segment", metavar="N", help="its number, or join (default: all)")),
    ),
    "priority": AdminCommand(
        "change a job's share of its owner's turns",
        lambda operator, args: operator.post("jobs", args.job, "priority", priority=args.priority),
        tables.job_details,
        (JOB, _argument("priority", choices=PRIORITIES)),
    ),
    "pause": AdminCommand(
        "let nothing of a model be begun; jobs are accepted, and wait",
        lambda operator, args: operator.post("queues", args.model, "pause"),
        _changed,
        (MODEL,),
    ),
    "resume": AdminCommand(
        "end the pause of a model, or the drain of a worker",
        _resume,
        _changed,
        (_argument("name", metavar="MODEL|WORKER", help="its id, or a model's short name"),),
    ),
    "purge": AdminCommand(
        "cancel all jobs of a model of which nothing was begun",
        _purge,
        _purged,
        (MODEL,),
        lambda args: f"cancel all jobs of {args.model} of which nothing was begun",
    ),
    "drain": AdminCommand(
        "let a worker begin nothing any more, and end what it speaks",
        lambda operator, args: operator.post("workers", args.worker, "drain"),
        _changed,
        (_argument("worker", metavar="WORKER", help="its id, as `narrate admin workers` shows"),),
    ),
    "forget": AdminCommand(
        "forget a model that no worker serves and nothing waits for",
        lambda operator, args: operator.delete("models", args.model),
        _changed,
        (MODEL,),
        lambda args: f"forget {args.model}",
    ),
    "webhooks": AdminCommand(
        "list the webhooks that were given up",
        lambda operator, args: operator.get("webhooks", "failed", owner=args.owner),
        tables.webhooks,
        (OWNER,),
    ),
    "resend": AdminCommand(
        "send a webhook that was given up again",
        lambda operator, args: operator.post("webhooks", "failed", args.webhook, "resend"),
        _resent,
        (
            _argument(
                "webhook", metavar="WEBHOOK", help="its id, as `narrate admin webhooks` shows"
            ),
        ),
    ),
    "owners": AdminCommand(
        "list what each owner has open and used today, with its keys and limits",
        lambda operator, _: operator.get("owners"),
        tables.owners,
    ),
    "audit": AdminCommand(
        "list what operators did, the newest first",
        lambda operator, args: operator.get("audit", limit=args.limit, before=args.before),
        tables.audit,
        (
            _argument("--limit", type=int, default=100, help="default: %(default)s, at most 1000"),
            _argument("--before", metavar="ID", help="the last `id` of the page before (--json)"),
        ),
    ),
    "check": AdminCommand(
        "check the configuration, as the API sees it",
        lambda operator, _: operator.get("check"),
        tables.checks,
    ),
}
