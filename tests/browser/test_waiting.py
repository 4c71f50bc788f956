"""A job whose model no worker serves says so on the page, and how to start one."""

from __future__ import annotations

import time

from playwright.sync_api import Page, expect

from client import Narrator
from client.local.stack import Stack
from shared.models import ModelCard
from shared.speech_model import Task
from shared.store.connection import connect
from shared.store.workers import MAX_MODELS_AGE_S, WorkerRegistry


def test_a_job_tells_which_worker_it_lacks(page: Page, narrator: Narrator, stack: Stack) -> None:
    card = ModelCard(
        id="owner/absent",
        task=Task.CUSTOM_VOICE,
        size="0.6B",
        voices=("ann",),
        languages=("auto",),
        instructions=False,
    )
    with connect(stack.redis.url) as redis:
        registry = WorkerRegistry(redis)
        registry.sign_in("gone soon", card)
        time.sleep(MAX_MODELS_AGE_S)  # until the API knows it
        job = narrator.submit("Hello.", task="custom_voice", model=card.id, voice="ann")
        registry.sign_out("gone soon", card)
        state = page.locator(f'[data-id="{job.id}"] .state')
        expect(state).to_contain_text("start one with python -m worker --model owner/absent")
        registry.sign_in("back again", card)
        expect(state).not_to_contain_text("python -m worker")
        narrator.cancel(job.id)
        registry.sign_out("back again", card)
        registry.forget(card.id)
