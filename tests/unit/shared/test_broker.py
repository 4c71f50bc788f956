import pytest

from shared.broker import WakeUpPublisher, make_celery_app
from tests.support.processes import wait_until


def test_announcing_to_a_redis_that_is_away_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    wake_ups = WakeUpPublisher(make_celery_app("redis://127.0.0.1:1/0"))
    wake_ups.publish("m", 3)
    wait_until(lambda: "Could not announce" in caplog.text)
    wake_ups.close()
