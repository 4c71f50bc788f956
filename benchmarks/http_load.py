"""A client that costs little: raw HTTP/1.1 over kept connections, one request at a time on each."""

from __future__ import annotations

import asyncio
import json
import sys
import time

CONNECTIONS = 16
JOB = {"task": "custom_voice", "voice": "vivian", "input": "The lamp was lit, and nobody spoke."}


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    if head.split(b" ", 2)[1] not in (b"200", b"202"):
        raise SystemExit(f"{head.decode()}{body.decode()}")
    return body


def post() -> bytes:
    """The request that submits a job."""
    body = json.dumps(JOB).encode()
    return (
        b"POST /v1/jobs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    ) + body


def get(job_id: str) -> bytes:
    """The request that polls one."""
    return f"GET /v1/jobs/{job_id} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


async def load(port: int, what: str, seconds: float) -> dict[str, float]:
    """Requests a second, and percentiles of their times in ms."""
    times_ms: list[float] = []
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        request = post()
        if what == "poll":
            request = get(json.loads(await _ask(reader, writer, request))["id"])
        while (begun := time.perf_counter()) < end:
            await _ask(reader, writer, request)
            times_ms.append(1_000 * (time.perf_counter() - begun))
        writer.close()

    await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
    times_ms.sort()
    return {
        "per_s": len(times_ms) / seconds,
        "p50_ms": times_ms[len(times_ms) // 2],
        "p99_ms": times_ms[len(times_ms) * 99 // 100],
    }


if __name__ == "__main__":
    found = asyncio.run(load(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
    sys.stdout.write(json.dumps(found))
