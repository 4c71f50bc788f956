import subprocess
import sys

HEAVY = ("torch", "transformers", "qwen_tts", "worker")


def test_importing_the_api_loads_no_torch() -> None:
    code = f"import api.app, sys; print([m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_importing_the_client_loads_nothing_of_the_servers() -> None:
    names = (*HEAVY, "api", "shared", "celery", "redis", "fastapi")
    code = f"import client.cli, sys; print([m for m in {names} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
