"""From settings to the engines of the models that they name."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path

from shared.models import Compute, ModelCard, full_name, model_id
from shared.settings import Settings
from worker.engine.build import build_engine, choose_parts
from worker.engine.clone_prompts import PromptStore
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.kernels.compiler import keep_libraries_in
from worker.engine.precision import Precision
from worker.engine.speedup import int8_speedup
from worker.engine.threads import run_in_temporary_thread
from worker.metrics import EngineMetrics
from worker.model import catalogue
from worker.model.cpu import give_memory_back, set_up_cpu
from worker.model.fingerprint import fingerprint
from worker.model.loading import ModelUnavailable, find_checkpoint, load_model
from worker.model.pool import LoadedModel, ModelPool
from worker.model.size import GIB, in_gib, weight_bytes
from worker.model.tuning_file import TuningFile

_log = logging.getLogger(__name__)


def make_pool(settings: Settings, prompts: PromptStore) -> ModelPool:
    """The models that the settings name, not loaded yet; raises `ModelUnavailable`."""
    names: dict[str, str] = {}
    for name in settings.models:
        model = model_id(name)
        if full_name(names.setdefault(model, name)) != full_name(name):
            raise ModelUnavailable(
                f"{names[model]} and {name} would both be served as {model}: rename a folder"
            )
    budget_gib = settings.model_memory
    # The size of a single model without a budget decides nothing.
    sizes = dict.fromkeys(names, 0)
    if len(names) > 1 or budget_gib is not None:
        for model, name in names.items():
            folder = find_checkpoint(catalogue.locate(name))
            sizes[model] = weight_bytes(folder, _precision(settings))
            _log.info("The weights of %s take %s", model, in_gib(sizes[model]))

    thread, weights = ComputeThread(), dict[str, str]()

    def load(model: str) -> LoadedModel:
        one = settings.model_copy(update={"model": names[model]})
        card, engine = start_engine(one, prompts, thread)
        if weights.setdefault(model, card.weights) != card.weights:
            engine.close()
            raise ModelUnavailable(f"the files of {model} have changed: start this worker anew")
        return LoadedModel(card, engine)

    return ModelPool(sizes, load, budget_bytes=None if budget_gib is None else budget_gib * GIB)


def start_engine(
    settings: Settings, prompts: PromptStore, thread: ComputeThread
) -> tuple[ModelCard, Engine]:
    """Load the one model of the settings, and an engine for it; raises `ModelUnavailable`."""
    set_up_cpu(settings.threads)  # before any thread is started: threads inherit these modes
    source = catalogue.locate(settings.model)
    model = run_in_temporary_thread(
        lambda: load_model(source, device=settings.device, threads=settings.threads),
    )
    card = catalogue.card_of(settings.model, model, fingerprint(find_checkpoint(source)))
    folder = catalogue.cache_folder().parent
    keep_libraries_in(folder / "kernels")
    answers = _tuning_file(folder / "tuning.json")
    parts = choose_parts(
        model,
        _precision(settings),
        settings.slots,
        compiled=bool(settings.compile),
        answers=answers,
    )
    language_model, codec = parts.names
    compute = Compute(
        precision=parts.precision,
        language_model=language_model,
        codec=codec,
        int8_speedup=int8_speedup(model, parts, answers),
    )
    engine = build_engine(
        model,
        parts,
        slots=settings.slots,
        max_waiting=2 * settings.slots,
        prompts=prompts,
        thread=thread,
        observer=EngineMetrics(card.id, settings.slots),
    )
    give_memory_back()
    return card.model_copy(update={"compute": compute}), engine


def _precision(settings: Settings) -> Precision:
    return Precision(settings.precision or Precision.default_on(settings.device))


@cache
def _tuning_file(path: Path) -> TuningFile:
    """The answers of one file, which are kept in this process even if it cannot be written."""
    return TuningFile(path)
