"""The package standardwebhooks; its user types the secret that the server shows."""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

sent = json.load(sys.stdin)
webhook = Webhook(sent["secret"])
webhook.verify(sent["body"], sent["headers"])
forged = None
try:
    webhook.verify(sent["body"].replace("completed", "failed"), sent["headers"])
except WebhookVerificationError as error:
    forged = str(error)
print(json.dumps({"type": json.loads(sent["body"])["type"], "forged": forged}))
