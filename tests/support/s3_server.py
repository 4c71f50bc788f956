"""An S3 server as a process of its own, which checks every request's signature."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Self

import boto3

from client.local.ports import free_port
from client.local.process import Child, stop
from tests.support.processes import wait_until

REGION, BUCKET = "us-east-1", "speech"
# Requests that need no key yet: they make the user, its policy and its key.
WITHOUT_KEY = 3
ALLOWED = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
}


class S3Server:
    """moto's server on a free port of this machine, with one bucket and one key."""

    def __init__(self, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "s3.log"
        self.key: dict[str, str] = {}

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        env = os.environ | {"INITIAL_NO_AUTH_ACTION_COUNT": str(WITHOUT_KEY)}
        self.child = Child("S3", command, env=env, log=self._log)
        try:
            wait_until(lambda: "Running on" in self._log.read_text(), 60)
            self.key = self._make_key()
            self._client("s3").create_bucket(Bucket=BUCKET)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        stop([self.child], 5)

    @property
    def url(self) -> str:
        """Its URL, for AWS_ENDPOINT_URL."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that may read and write the bucket."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "1",
            "AWS_REGION": REGION,
            "AWS_ACCESS_KEY_ID": self.key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": self.key["SecretAccessKey"],
        }

    def create_bucket(self, name: str) -> None:
        self._client("s3").create_bucket(Bucket=name)

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with all that is in it."""
        client = self._client("s3")
        for found in client.list_objects_v2(Bucket=name).get("Contents", ()):
            client.delete_object(Bucket=name, Key=found["Key"])
        client.delete_bucket(Bucket=name)

    def keys(self, bucket: str = BUCKET) -> list[str]:
        """Every object of a bucket."""
        listed = self._client("s3").list_objects_v2(Bucket=bucket)
        return [found["Key"] for found in listed.get("Contents", ())]

    def _make_key(self) -> dict[str, str]:
        iam = self._client("iam")
        iam.create_user(UserName="tts")
        policy = json.dumps(ALLOWED)
        iam.put_user_policy(UserName="tts", PolicyName="all", PolicyDocument=policy)
        key: dict[str, str] = iam.create_access_key(UserName="tts")["AccessKey"]
        return key

    def _client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.key.get("AccessKeyId", "none"),
            aws_secret_access_key=self.key.get("SecretAccessKey", "none"),
        )
