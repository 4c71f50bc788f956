"""The Celery application: its messages are hints, the ledger is the truth.

The settings were found by experiment with Celery 5.7 on Redis; docs/decisions/0003 has the reasons.
"""

from __future__ import annotations

from celery import Celery

from shared import broker
from shared.store.redis_address import RedisAddress

SYNTHESISE = "worker.synthesise"


def queue_name(model: str) -> str:
    """The queue that workers of a model consume; `lua/reconcile.lua` uses the same name."""
    return f"tts.{model}"


def make_celery_app(redis_url: str) -> Celery:
    """A Celery application on Redis, for a publisher and a worker alike."""
    address = RedisAddress.parse(redis_url)
    app = Celery("qwen-tts-queue", broker=str(address))
    app.conf.update(
        broker_transport=f"{broker.__name__}:{broker.Transport.__name__}",
        task_acks_late=True,
        task_ignore_result=True,
        task_publish_retry_policy={"max_retries": 1},
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        result_backend_thread_safe=True,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_pool_acquire_timeout=2,
        broker_pool_limit=64,  # more than the API has threads, so that none waits for another
        broker_transport_options={
            "address": address,
            # kombu shares connections between applications whose options look the same.
            "account": address.fingerprint,
            "visibility_timeout": 30,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 5,
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app
