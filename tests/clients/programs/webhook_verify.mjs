// The package standardwebhooks; its user types the secret that the server shows.
import { text } from "node:stream/consumers";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const sent = JSON.parse(await text(process.stdin));
const webhook = new Webhook(sent.secret);
const verified = webhook.verify(sent.body, sent.headers);
let forged;
try {
  webhook.verify(sent.body.replaceAll("completed", "failed"), sent.headers);
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  forged = error.message;
}
console.log(JSON.stringify({ type: verified.type, forged }));
