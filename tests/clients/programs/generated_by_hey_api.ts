// The client that @hey-api/openapi-ts wrote, with its default options.
import { createSpeech, getJob, getJobAudio, submitJob } from "./client";
import { client } from "./client/client.gen";

declare const process: { argv: string[] };
declare const Buffer: { from(content: ArrayBuffer): { toString(encoding: "base64"): string } };
const ENDED = ["completed", "failed", "cancelled"];

async function main(): Promise<void> {
  client.setConfig({ baseUrl: process.argv[2] });
  const { data: accepted, error } = await submitJob({
    headers: { "Cancel-After": "5m" },
    body: { task: "custom_voice", input: "The lamp was lit.", voice: "vivian" },
  });
  if (!accepted) throw new Error(JSON.stringify(error));
  let job = accepted;
  while (!ENDED.includes(job.status)) {
    const { data } = await getJob({
      path: { job_id: job.id },
      headers: { Prefer: "wait=10" },
      throwOnError: true,
    });
    job = data;
  }
  const content = await getJobAudio({ path: { job_id: job.id }, throwOnError: true });
  const speech = await createSpeech({
    body: { input: "The lamp was lit.", voice: "alloy" },
    throwOnError: true,
  });
  const refused = await submitJob({
    body: { task: "custom_voice", input: "The lamp was lit.", voice: "nobody" },
  });
  console.log(
    JSON.stringify({
      id: job.id,
      status: job.status,
      content: Buffer.from(await content.data.arrayBuffer()).toString("base64"),
      speech: Buffer.from(await speech.data.arrayBuffer()).toString("base64"),
      refused: refused.error?.error.param,
    }),
  );
}

void main();
